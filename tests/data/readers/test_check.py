"""Every planted fault is found and named, none is an exception, and a sound copy looks right."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.freihand import write_freihand

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers import check
from hand_pipeline.data.readers.check import SplitCheck, check_split, find_splits
from hand_pipeline.data.readers.check_labels import check_labels
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand

SPLIT = "evaluation"


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="freihand")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    write_freihand(root, SPLIT, count=3)
    return root


@pytest.fixture(scope="module")
def manifest(sound: Path, mano: ManoHand) -> HandManifest:
    return read_hands("freihand", sound, SPLIT, mano)


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


@pytest.fixture
def look(root: Path, mano: ManoHand) -> Callable[..., SplitCheck]:
    return lambda **options: check_split("freihand", root, SPLIT, mano, **options)


def change(path: Path, function: Callable[[np.ndarray], np.ndarray]) -> None:
    path.write_text(json.dumps(function(np.array(json.loads(path.read_text()))).tolist()))


def test_a_sound_copy_has_no_fault_and_says_it_is_a_part(look: Callable[..., SplitCheck]) -> None:
    found = look()
    assert found.faults == ()
    assert found.manifest is not None
    assert found.photos is not None
    assert (found.photos.named, found.photos.opened, len(found.manifest)) == (3, 3, 3)
    assert found.differs
    assert not replace(found, published=3).differs
    assert not replace(found, published=None).differs
    assert found.notes == ()
    assert found.labels is not None
    assert found.labels.mano_vertices_mm is not None
    assert found.labels.mano_vertices_mm.worst < 0.05
    assert found.labels.inside == 1.0


def test_a_broken_photo_is_counted_and_listed(root: Path, look: Callable[..., SplitCheck]) -> None:
    photo = root / SPLIT / "rgb/00000001.jpg"
    photo.write_bytes(photo.read_bytes()[:900])
    found = look(extent="all")
    assert found.photos is not None
    assert list(found.photos.unreadable) == [f"{SPLIT}/rgb/00000001.jpg"]
    (fault,) = found.faults
    assert "1 of 3 opened photos cannot be read" in fault
    assert "truncated" in fault
    assert look(extent="none").faults == ()


def test_a_photo_of_another_size_is_a_broken_one(
    root: Path, look: Callable[..., SplitCheck]
) -> None:
    from PIL import Image

    Image.new("RGB", (100, 90)).save(root / SPLIT / "rgb/00000002.jpg")
    (fault,) = look().faults
    assert "is 100 x 90 px, the set's are 224 x 224" in fault


def test_a_photo_that_is_absent_is_named_and_the_rest_is_checked(
    root: Path, look: Callable[..., SplitCheck]
) -> None:
    (root / SPLIT / "rgb/00000001.jpg").unlink()
    found = look()
    assert found.manifest is not None
    assert len(found.manifest) == 2  # the rest is looked at all the same
    ((text, names),) = found.absent.items()
    assert "lacks 1 of the 3 images" in text
    assert names == ("00000001.jpg",)
    assert found.faults == found.notes == ()


def test_truncated_json_is_a_fault(root: Path, look: Callable[..., SplitCheck]) -> None:
    path = root / f"{SPLIT}_verts.json"
    path.write_text(path.read_text()[:-2000])
    (fault,) = look().faults
    assert "cut short" in fault


def test_a_reader_that_stumbles_is_a_fault_too(
    look: Callable[..., SplitCheck], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object, **__: object) -> HandManifest:
        raise KeyError("xyz")

    monkeypatch.setattr(check, "read_hands", stumble)
    (fault,) = look().faults
    assert "stumbled: KeyError: 'xyz'" in fault


def test_what_a_reader_leaves_out_is_said(
    look: Callable[..., SplitCheck], manifest: HandManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> HandManifest:
        logging.getLogger("hand_pipeline.data.readers.some").info("%d of %d hands left out", 5, 8)
        return manifest

    monkeypatch.setattr(check, "read_hands", read)
    assert "5 of 8 hands left out" in look().notes


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_wrong_camera_is_seen_by_where_mano_places_the_hand(
    root: Path, look: Callable[..., SplitCheck], factor: float
) -> None:
    zoom = np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
    change(root / f"{SPLIT}_K.json", lambda K: K * zoom)
    assert any("not those of the labels" in fault for fault in look().faults)


@pytest.mark.parametrize(
    ("name", "message"),
    [("verts", "meshes of 3 hands"), ("xyz", "from the wrist to the middle finger's base")],
)
def test_labels_in_millimetres_are_named(
    root: Path, look: Callable[..., SplitCheck], name: str, message: str
) -> None:
    change(root / f"{SPLIT}_{name}.json", lambda points: points * 1000)
    faults = look().faults
    assert any(message in f and "are in millimetres, metres are expected" in f for f in faults)


def figures(manifest: HandManifest, mano: ManoHand, given: bool = False) -> str:
    sizes = dict.fromkeys(manifest.images, (224, 224))
    rows = np.arange(len(manifest))
    return "\n".join(check_labels(manifest, mano, given, sizes, rows).faults)


def test_a_camera_that_does_not_fit_is_seen_by_projection(
    manifest: HandManifest, mano: ManoHand
) -> None:
    moved = manifest.intrinsics.copy()
    moved[:, 0, 2] += 30
    assert "do not project onto the 2D ones: median 30.0 px" in figures(
        replace(manifest, intrinsics=moved), mano
    )


def test_a_bent_lens_is_allowed_where_a_set_has_one(manifest: HandManifest, mano: ManoHand) -> None:
    bent = replace(manifest, joints_2d=manifest.joints_2d + np.float32(20))
    assert "do not project" in figures(bent, mano)
    assert figures(replace(bent, dataset="mtc"), mano) == ""


def test_opengls_frame_is_named(manifest: HandManifest, mano: ManoHand) -> None:
    flipped = manifest.joints_3d * np.array([1, -1, -1], np.float32)
    assert "OpenGL's frame" in figures(replace(manifest, joints_3d=flipped), mano)


def test_a_box_outside_the_picture_is_a_fault(manifest: HandManifest, mano: ManoHand) -> None:
    assert "3 of 3 hands have the middle of their box outside" in figures(
        replace(manifest, boxes=manifest.boxes + 500), mano
    )


def test_a_forgotten_mean_pose_is_a_fault_with_mano_and_a_note_without(
    manifest: HandManifest, mano: ManoHand
) -> None:
    wrong = replace(manifest, flat_hand_mean=True)
    assert "MANO's numbers do not give the vertices" in figures(wrong, mano, given=True)
    found = check_labels(wrong, mano, False, {}, np.arange(3))
    assert found.faults == ()
    assert any("Give --mano" in note for note in found.notes)


def test_left_hands_are_compared_as_left_hands(mano: ManoHand, manifest: HandManifest) -> None:
    """The mirror image of a right hand, with mirrored labels, is as sound as the right one."""
    turn = np.tile(np.array([1, -1, -1], np.float32), 16)
    across = np.array([-1, 1, 1], np.float32)
    assert manifest.vertices is not None
    mirrored = replace(
        manifest,
        is_right=~manifest.is_right,
        mano_pose=manifest.mano_pose * turn,
        translation=manifest.translation * across,
        vertices=manifest.vertices * across,
        joints_3d=manifest.joints_3d * across,
        has_intrinsics=np.zeros(3, dtype=bool),
    )
    found = check_labels(mirrored, mano, True, {}, np.arange(3))
    assert found.faults == ()
    assert found.mano_joints_mm is not None
    assert found.mano_joints_mm.worst < 0.05


def test_labels_that_are_missing_are_not_compared(manifest: HandManifest, mano: ManoHand) -> None:
    none = np.zeros(3, dtype=bool)
    bare = replace(
        manifest, vertices=None, flags={}, has_mano=none, has_intrinsics=none,
        has_joints_3d=np.zeros((3, 21), dtype=bool), has_joints_2d=np.zeros((3, 21), dtype=bool),
    )  # fmt: skip
    assert check_labels(bare, mano, True, {}, np.arange(3)) == (None,) * 5 + ((), ())


def test_only_splits_that_are_there_are_found(root: Path, tmp_path: Path) -> None:
    assert find_splits("freihand", root) == [SPLIT]
    (root / "training_K.json").write_text("[]")  # a split that lost the rest is not passed over
    assert find_splits("freihand", root) == ["training", SPLIT]
    with pytest.raises(DataSetError, match=r"nothing of FreiHAND v2 .* Is .*copy meant\?"):
        find_splits("freihand", tmp_path)


def test_splits_of_the_same_files_are_read_once_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "20200709-subject-01").mkdir()
    assert find_splits("dexycb", tmp_path) == ["s0_train", "s0_val", "s0_test"]
