"""A photo in, its hands out, from a program."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from hand_pipeline import HandReconstructor
from hand_pipeline.api import reconstructor
from hand_pipeline.api.models import ModelError
from hand_pipeline.data.photos.cameras import Cameras
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, Side
from hand_pipeline.data.photos.files import BadPhoto
from hand_pipeline.geometry.camera import default_intrinsics, project
from hand_pipeline.geometry.mano import ManoHand


class TwoHands:
    """A right and a left hand in their mean pose, in every bright photo of 320 x 240 px."""

    def __init__(self, cfg: DetectorConfig) -> None:
        self.cfg = cfg

    def __call__(self, photo: np.ndarray) -> list[Detection]:
        return [found("right", -0.1), found("left", 0.1)] if photo.mean() > 100 else []


def found(side: Side, x: float) -> Detection:
    mano = ManoHand(side=side, tips="freihand")
    pose = mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    joints = mano(pose, torch.zeros(1, 10), torch.tensor([[x, 0.0, 0.6]])).joints[0]
    flat = project(joints, default_intrinsics(320, 240)).numpy()
    box = np.concatenate([flat.min(0), flat.max(0)])
    return Detection(box, flat, (joints - joints[9]).numpy(), side, 0.95, 1)


def picture(brightness: int = 200) -> np.ndarray:
    return np.full((240, 320, 3), brightness, np.uint8)


@pytest.fixture
def hands_of(monkeypatch: pytest.MonkeyPatch) -> HandReconstructor:
    monkeypatch.setattr(reconstructor, "HandDetector", TwoHands)
    return HandReconstructor("mediapipe")


def test_pixels_pictures_and_files_give_the_same_hands(
    hands_of: HandReconstructor, tmp_path: Path
) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    several = [hands_of(each) for each in (
        picture(), Image.fromarray(picture()), tmp_path / "a.png", str(tmp_path / "a.png")
    )]  # fmt: skip
    for hands in several:
        assert [hand.detection.handedness for hand in hands] == ["right", "left"]
        assert hands[0].vertices.shape == (778, 3)
        np.testing.assert_array_equal(hands[0].vertices, several[0][0].vertices)
    assert several[2].name == "a.png"
    assert several[0].camera.source == "guess"


def test_a_given_camera_moves_the_hands(hands_of: HandReconstructor) -> None:
    near, far = hands_of(picture()), hands_of(picture(), focal=800.0)
    assert far.camera.source == "given"
    assert far[0].translation[2] == pytest.approx(2 * float(near[0].translation[2]), rel=0.05)
    same = hands_of(picture(), intrinsics=[800.0, 800.0, 160.0, 120.0])
    np.testing.assert_allclose(same[0].joints_3d, far[0].joints_3d, atol=1e-6)


def test_hands_are_saved_in_every_form(hands_of: HandReconstructor, tmp_path: Path) -> None:
    hands = hands_of(picture())
    scene = trimesh.load_scene(hands.save(tmp_path / "a.glb"))
    assert len(scene.geometry) == 2
    mesh = trimesh.load_mesh(hands.save(tmp_path / "a.obj"), process=False)
    assert len(mesh.vertices) == 2 * 778
    np.testing.assert_allclose(mesh.vertices[:778], hands[0].vertices, atol=1e-6)
    record = json.loads(hands.save(tmp_path / "a.json").read_text())
    assert [hand["handedness"] for hand in record["hands"]] == ["right", "left"]
    with Image.open(hands.save(tmp_path / "a.jpg")) as drawn:
        assert drawn.height == 240
    with pytest.raises(ValueError, match=r"a\.step: expected a name that ends in one of \.glb"):
        hands.save(tmp_path / "a.step")


def test_a_photo_without_hands_is_empty_and_has_no_mesh(
    hands_of: HandReconstructor, tmp_path: Path
) -> None:
    hands = hands_of(picture(20))
    assert not hands
    assert hands.overlay().size == (480, 240)
    with pytest.raises(ValueError, match="no hand was found in photo"):
        hands.save(tmp_path / "a.glb")


def test_photos_together_have_the_hands_that_they_have_alone(
    hands_of: HandReconstructor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, brightness in (("a", 200), ("b", 20), ("d", 180)):
        Image.fromarray(picture(brightness)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_text("no picture")
    several = list(hands_of.many(tmp_path, Cameras(focal=500.0), batch_size=3))
    assert [hands.name for hands in several] == ["a.png", "b.png", "d.png"]
    assert [len(hands) for hands in several] == [2, 0, 2]
    assert "c.png: not_an_image" in caplog.text
    alone = hands_of(tmp_path / "d.png", focal=500.0)
    for together, single in zip(several[2], alone):
        np.testing.assert_allclose(together.vertices, single.vertices, atol=1e-5)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((40, 40), np.uint8), r"uint8 of shape \(height, width, 3\), got uint8 of shape"),
        (np.zeros((40, 40, 3)), "got float64"),
    ],
)
def test_what_is_no_picture_is_refused(
    hands_of: HandReconstructor, photo: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        hands_of(photo)


def test_a_bad_file_a_wrong_setting_and_a_missing_model_say_what_is_wrong(
    hands_of: HandReconstructor, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(BadPhoto, match="not_an_image"):
        hands_of(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="refines"):
        HandReconstructor(refines=True)
    with pytest.raises(ModelError, match="kedro run --pipelines s2hand"):
        HandReconstructor("s2hand", data=tmp_path)


@pytest.mark.slow
def test_the_package_is_imported_at_once_and_the_api_without_orchestration() -> None:
    """Kedro, MLflow, DVC, Optuna and the libraries of training and reports stay out."""
    heavy = ("kedro", "mlflow", "dvc", "optuna", "pandas", "jinja2", "lightning_fabric", "kornia")
    look = (
        "import sys, hand_pipeline; print('torch' in sys.modules)\n"
        "from hand_pipeline import HandReconstructor\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["False", "[]"]
    assert time.perf_counter() - began < 60  # a hang, not a measurement
