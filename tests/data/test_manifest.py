"""The manifest refuses what cannot be right, and knows which labels are there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hand_pipeline.data.manifest import (
    DataSetError,
    HandManifest,
    box_around,
    build_manifest,
)

COUNT = 4


def build(**changes: Any) -> HandManifest:
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "ids": [f"train/{i}" for i in range(COUNT)],
        "images": [f"{i}.jpg" for i in range(COUNT)],
        "boxes": np.tile(np.array([1.0, 2.0, 30.0, 40.0]), (COUNT, 1)),
        "joints_2d": rng.normal(size=(COUNT, 21, 2)),
        "flags": {"mark": np.arange(COUNT)},
    } | changes
    return build_manifest("some", "train", Path("/data"), **given)


def test_what_a_set_lacks_is_marked_missing() -> None:
    found = build()
    assert found.has_joints_2d.all()
    for flag in (found.has_joints_3d, found.has_intrinsics, found.has_mano):
        assert not flag.any()
    for name, shape in (
        ("joints_3d", (21, 3)), ("intrinsics", (3, 3)), ("mano_pose", (48,)), ("betas", (10,)),
        ("translation", (3,)),
    ):  # fmt: skip
        value = getattr(found, name)
        assert value.shape == (COUNT, *shape)
        assert value.dtype == np.float32
        assert (value == 0).all()
    assert found.vertices is None
    assert found.is_right.all()
    assert found.shots == found.groups == found.ids


def test_values_behind_a_false_flag_become_zero_even_nan() -> None:
    joints = np.full((COUNT, 21, 2), np.nan)
    joints[:, :20] = 7
    there = np.ones((COUNT, 21), dtype=bool)
    there[:, 20] = False
    mano = np.array([True, False, True, True])
    found = build(
        joints_2d=joints, has_joints_2d=there, mano_pose=np.ones((COUNT, 48)),
        betas=np.ones((COUNT, 10)), has_mano=mano,
    )  # fmt: skip
    assert (found.joints_2d[:, 20] == 0).all()
    assert (found.joints_2d[:, :20] == 7).all()
    np.testing.assert_array_equal(found.betas[:, 0], mano)
    np.testing.assert_array_equal(found.mano_pose[:, 5], mano)


@pytest.mark.parametrize("name", ["joints_2d", "boxes", "vertices", "betas"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_label_that_is_not_finite_is_refused_with_its_hand(name: str, value: float) -> None:
    shape = {"joints_2d": (21, 2), "boxes": (4,), "vertices": (778, 3), "betas": (10,)}[name]
    array = np.ones((COUNT, *shape))
    array[2].flat[1] = value
    extra = {"mano_pose": np.zeros((COUNT, 48))} if name == "betas" else {}
    with pytest.raises(DataSetError, match=rf"{name} of 1 hands .* first is train/2"):
        build(**{name: array}, **extra)


def test_a_flag_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataSetError, match=r"flags\.depth of 4 hands are not finite"):
        build(flags={"depth": np.full(COUNT, np.nan)})


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(DataSetError, match="two hands are called 'b'"):
        build(ids=["a", "b", "c", "b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ["0.jpg"]}, "4 hands, but 1 images"),
        ({"groups": ["a"] * 5}, "4 hands, but 5 groups"),
        ({"flags": {"mark": np.zeros(3)}}, r"4 hands, but 3 flags\.mark"),
    ],
)
def test_rows_missing_for_some_hands_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataSetError, match=message):
        build(**changes)


def test_select_gives_the_hands_in_the_asked_order() -> None:
    whole = build(vertices=np.random.default_rng(1).normal(size=(COUNT, 778, 3)), image_side=64)
    found = whole.select([3, 1])
    assert found.ids == ("train/3", "train/1")
    assert found.images == ("3.jpg", "1.jpg")
    assert found.image_side == 64
    np.testing.assert_array_equal(found.joints_2d, whole.joints_2d[[3, 1]])
    np.testing.assert_array_equal(found.flags["mark"], [3, 1])
    assert whole.vertices is not None
    assert found.vertices is not None
    np.testing.assert_array_equal(found.vertices, whole.vertices[[3, 1]])


def test_nothing_can_be_selected() -> None:
    found = build().select(np.empty(0, dtype=np.int64))
    assert len(found) == 0
    assert found.joints_2d.shape == (0, 21, 2)


def test_a_hand_may_be_selected_twice() -> None:
    """A small set fills a batch so, and a broken photo's neighbour stands in for it."""
    assert build().select([1, 2, 1]).ids == ("train/1", "train/2", "train/1")


def test_a_mask_is_not_taken_for_row_numbers() -> None:
    with pytest.raises(TypeError, match=r"np\.flatnonzero"):
        build().select([True, False, True, True])


def test_the_fingerprint_knows_every_label_but_not_the_place() -> None:
    first = build()
    assert replace(first, root=Path("/elsewhere")).fingerprint == first.fingerprint
    assert build().fingerprint == first.fingerprint
    moved = first.joints_2d.copy()
    moved[3, 20, 1] = np.nextafter(moved[3, 20, 1], np.float32(9))
    unlabelled = first.has_joints_2d.copy()
    unlabelled[0, 0] = False
    others = [
        replace(first, joints_2d=moved),
        replace(first, has_joints_2d=unlabelled),
        replace(first, images=("0.jpg", "1.jpg", "2.jpg", "4.jpg")),
        replace(first, is_right=np.array([True, True, True, False])),
        replace(first, flags={"mark": np.zeros(COUNT)}),
        replace(first, flat_hand_mean=False),
        replace(first, image_side=224),
        first.select([1, 0, 2, 3]),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 9


def test_a_box_is_tight_around_the_valid_points_only() -> None:
    points = np.array([[[4.0, 9.0], [2.0, 11.0], [500.0, -500.0]]] * 2)
    valid = np.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(box_around(points, valid), [[2, 9, 4, 11], [0, 0, 0, 0]])
    np.testing.assert_array_equal(box_around(points)[0], [2, -500, 500, 11])
