"""Joints of labelled hands by a detector: the right hand of several, and every miss counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.freihand import write_freihand
from tests.fixtures.scene import draw, make_hands, save_picture

from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.manifest import build_manifest
from hand_pipeline.data.photos import detect_hands
from hand_pipeline.data.photos.detect_hands import crop_boxes, detect_keypoints
from hand_pipeline.data.photos.detection_copies import NO_COPIES, CopiesConfig, look_again
from hand_pipeline.data.photos.detector import Detection, DetectorConfig
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.geometry.mano import ManoHand

Find = Callable[[np.ndarray], list[Detection]]


def hand_in(box: np.ndarray, side: str = "right", score: float = 0.75) -> Detection:
    """A hand whose 21 joints lie evenly on the diagonal of a box."""
    joints = np.linspace(box[:2], box[2:], 21)
    return Detection(np.asarray(box, float), joints, np.zeros((21, 3)), side, score, 1)  # type: ignore[arg-type]


@pytest.fixture
def hands(tmp_path: Path) -> HandImages:
    write_freihand(tmp_path / "set", "evaluation", count=3)
    mano = ManoHand(tips="freihand")
    return HandImages(read_freihand(tmp_path / "set", "evaluation", mano), mano)


@pytest.fixture
def detect_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Function: detect in a set with a made-up detector."""
    (tmp_path / "model.task").write_bytes(b"a model")
    monkeypatch.setattr(detect_hands, "resolve_model", lambda *_: tmp_path / "model.task")

    def run(
        hands: HandImages,
        find: Find,
        parts: str = "parts",
        copies: CopiesConfig = NO_COPIES,
    ) -> detect_hands.DetectedHands:
        monkeypatch.setattr(detect_hands, "_detector", lambda cfg: find)
        return detect_keypoints(hands, DetectorConfig(), tmp_path / parts, 1, copies)

    return run


def test_of_several_hands_the_labelled_one_is_taken(hands: HandImages, detect_with) -> None:
    boxes = iter(crop_boxes(hands))

    def find(image: np.ndarray) -> list[Detection]:
        box = next(boxes)
        corner = np.array([0, 0, *(box[:2] + 5)])  # overlaps a little
        return [hand_in(corner, score=0.9), hand_in(box, "left", 0.75)]

    found = detect_with(hands, find)
    for row, box in enumerate(crop_boxes(hands)):
        np.testing.assert_allclose(found.keypoints.points[row, [0, 20]].ravel(), box, rtol=1e-6)
    assert found.keypoints.confidence.max() == 0.75  # not the surer other hand's
    assert found.counts == {
        "found": 3, "no_hand": 0, "elsewhere": 0, "unreadable": 0, "called_left": 3
    }  # fmt: skip


def test_what_is_not_found_has_confidence_0_and_is_counted(hands: HandImages, detect_with) -> None:
    (hands.manifest.root / hands.manifest.images[2]).write_bytes(b"\xff\xd8 no photo")
    seen = iter([[], [hand_in(np.array([0.0, 0, 2, 2]))]])
    found = detect_with(hands, lambda image: next(seen))
    assert (found.keypoints.confidence == 0).all()
    assert not found.keypoints.found.any()
    assert found.counts == {
        "found": 0, "no_hand": 1, "elsewhere": 1, "unreadable": 1, "called_left": 0
    }  # fmt: skip


def test_joints_outside_the_picture_have_confidence_0(hands: HandImages, detect_with) -> None:
    box = np.array([50.0, 50, 250, 200])  # of 224
    found = detect_with(hands, lambda image: [hand_in(box)]).keypoints
    outside = found.points[..., 0] > 224
    assert outside.sum(1).tolist() == [3, 3, 3]
    np.testing.assert_array_equal(found.confidence, np.where(outside, 0, 0.75))


def test_a_stopped_run_goes_on_and_a_broken_block_is_done_again(
    hands: HandImages, detect_with, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(detect_hands, "_BLOCK", 1)
    looked = []

    def find(image: np.ndarray) -> list[Detection]:
        if len(looked) == 2:
            raise KeyboardInterrupt
        looked.append(image)
        return [hand_in(np.array([10.0, 10, 200, 200 + len(looked)]))]

    with pytest.raises(KeyboardInterrupt):
        detect_with(hands, find)
    later: list[np.ndarray] = []

    def rest(image: np.ndarray) -> list[Detection]:
        later.append(image)
        return [hand_in(np.array([10.0, 10, 200, 220]))]

    found = detect_with(hands, rest).keypoints
    assert len(later) == 1
    assert found.points[:, 20, 1].tolist() == [201, 202, 220]
    (tmp_path / "parts/00000001.npz").write_bytes(b"cut")
    again = detect_with(hands, rest).keypoints
    assert len(later) == 2
    assert again.points[:, 20, 1].tolist() == [201, 220, 220]


def test_left_hands_are_looked_for_as_they_are_shown(tmp_path: Path, detect_with) -> None:
    """In px of the mirrored crop, where labels and keypoints of a left hand meet."""
    made = make_hands(2, (240, 200), sides="left", seed=1)
    for row in range(2):
        save_picture(tmp_path / f"{row}.jpg", draw(made, [row]))
    manifest = build_manifest(
        "made", "all", tmp_path, ["0", "1"], ["0.jpg", "1.jpg"], boxes=made.boxes,
        is_right=made.is_right, joints_2d=made.joints_2d,
    )  # fmt: skip
    hands = HandImages(manifest, ManoHand(), HandCropConfig(crop_size=96))
    batch = hands.collate([hands[0], hands[1]])
    shown = []

    def find(image: np.ndarray) -> list[Detection]:
        points = batch.joints_2d[len(shown)].numpy().astype(float)
        shown.append(image)
        box = np.concatenate([points.min(0), points.max(0)])
        return [Detection(box, points, np.zeros((21, 3)), "right", 0.9, 1)]

    found = detect_with(hands, find)
    for image, expected in zip(shown, batch.images):
        assert torch.from_numpy(image).permute(2, 0, 1).equal(expected)
    np.testing.assert_allclose(found.keypoints.points, batch.joints_2d, rtol=1e-6)
    assert found.counts["found"] == 2
    assert found.keypoints.image_size == 96
    low, high = batch.joints_2d.amin(1), batch.joints_2d.amax(1)
    np.testing.assert_allclose(crop_boxes(hands), torch.cat([low, high], 1), atol=0.5)


def hand_at(joints: np.ndarray) -> Detection:
    box = np.concatenate([joints.min(0), joints.max(0)])
    return Detection(box, joints, np.zeros((21, 3)), "right", 0.75, 1)


def seen_by_eye(image: np.ndarray) -> np.ndarray:
    """Middles of 21 blobs, told apart by colour: a detector that errs by less than a pixel.

    Red says which, red and green together are 255 inside a blob and less where its edge fades."""
    red, both = image[..., 0].astype(int), image[..., :2].astype(int).sum(-1)
    found = np.full((21, 2), np.nan)
    for joint in range(21):
        rows, columns = np.nonzero((np.abs(red - 20 - 10 * joint) <= 3) & (both >= 250))
        found[joint] = [columns.mean() + 0.5, rows.mean() + 0.5]
    return found


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """An image of 21 blobs, each of its own colour, and where they are."""
    image, places = np.zeros((160, 160, 3), np.uint8), []
    for joint in range(21):
        x, y = 50 + 15 * (joint % 5), 45 + 16 * (joint // 5)
        image[y - 4 : y + 5, x - 4 : x + 5, :2] = 20 + 10 * joint, 235 - 10 * joint
        places.append((x + 0.5, y + 0.5))
    return image, np.array(places)


COPIES = CopiesConfig(rotation_deg=20, scale_min=0.9)


def flat_in_space(joints: np.ndarray) -> np.ndarray:
    """3D joints, of size 1, of which an image shows these; each as deep as its number says."""
    centred = joints - joints.mean(0)
    size = np.linalg.norm(centred, axis=1).mean()
    return np.concatenate([centred / size, np.arange(len(joints))[:, None] / 10], axis=1)


def test_joints_of_copies_come_back_to_where_they_are(blobs) -> None:
    image, places = blobs
    calls = []

    def find(copy: np.ndarray) -> list[Detection]:
        calls.append(copy)
        joints = seen_by_eye(copy)
        return [replace(hand_at(joints), landmarks_3d=flat_in_space(joints))]

    first = replace(hand_at(places), landmarks_3d=flat_in_space(places))
    seen = look_again(find, image, first, COPIES, np.random.default_rng(0))
    assert len(calls) == 8
    np.testing.assert_allclose(seen.points_3d, first.landmarks_3d, atol=0.05)
    assert not any(np.array_equal(copy, image) for copy in calls)
    np.testing.assert_allclose(seen.points, places, atol=1)
    assert (seen.confidence > 0.9).all()


def test_a_joint_that_wanders_is_less_sure_than_those_that_stay(blobs) -> None:
    image, places = blobs
    rng = np.random.default_rng(1)

    def find(copy: np.ndarray) -> list[Detection]:
        joints = seen_by_eye(copy)
        joints[7] += rng.normal(0, 12, 2)  # of a hand of 64 px
        return [hand_at(joints)]

    seen = look_again(find, image, hand_at(places), COPIES, np.random.default_rng(0))
    assert seen.confidence[7] < 0.3
    assert (np.delete(seen.confidence, 7) > 0.9).all()


def test_a_hand_that_few_copies_show_is_less_sure(blobs) -> None:
    image, places = blobs
    numbers = iter(range(8))

    def find(copy: np.ndarray) -> list[Detection]:
        return [hand_at(seen_by_eye(copy))] if next(numbers) % 2 else []

    seen = look_again(find, image, hand_at(places), COPIES, np.random.default_rng(0))
    assert seen.confidence.max() == pytest.approx(5 / 9, rel=0.02)
    other = look_again(
        lambda _: [hand_at(places + 400)], image, hand_at(places), COPIES, np.random.default_rng(0)
    )
    np.testing.assert_allclose(other.confidence, 1 / 9)  # another hand is none


def test_copies_depend_on_the_seed_and_the_image_alone(
    hands: HandImages, detect_with, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = crop_boxes(hands)

    def run(block: int, parts: str) -> np.ndarray:
        monkeypatch.setattr(detect_hands, "_BLOCK", block)

        def find(image: np.ndarray) -> list[Detection]:
            box = boxes[0] + image.astype(float).mean() % 3
            return [hand_in(box)]

        return detect_with(hands, find, parts, CopiesConfig(count=2)).keypoints.confidence

    whole = run(3, "whole")
    np.testing.assert_array_equal(whole, run(1, "single"))
    assert len(np.unique(whole)) > 3


@pytest.mark.slow
def test_two_processes_find_what_one_finds(
    tmp_path: Path, hand_model: Path, paint_hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_hands(3, (256, 256), seed=0)
    for row, turn in enumerate((0, 180, 0)):
        save_picture(tmp_path / f"{row}.jpg", paint_hand("right", turn))
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8 no photo")
    names = ["0", "1", "2"]
    manifest = build_manifest(
        "made", "all", tmp_path, names, [f"{n}.jpg" for n in names], image_side=256,
        boxes=np.tile([0.0, 0, 256, 256], (3, 1)), joints_2d=made.joints_2d,
    )  # fmt: skip
    hands = HandImages(manifest, ManoHand())
    monkeypatch.setattr(detect_hands, "_BLOCK", 1)
    cfg = DetectorConfig(model_path=hand_model)
    one = detect_keypoints(hands, cfg, tmp_path / "one", workers=1)
    two = detect_keypoints(hands, cfg, tmp_path / "two", workers=2)
    assert one.keypoints.fingerprint == two.keypoints.fingerprint
    assert one.counts == two.counts
    assert (one.counts["found"], one.counts["unreadable"]) == (2, 1)
    assert one.keypoints.found.tolist() == [True, True, False]
    assert str(hand_model) not in str(one.keypoints.settings)
