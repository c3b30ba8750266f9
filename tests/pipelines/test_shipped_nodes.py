"""The pipeline shipped: which models and photos are compared, and what the table calls them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.photos.detector import Detection, DetectorConfig
from hand_pipeline.evaluation.predict import PredictedHands, save_predictions
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.lifter import Lifter, LifterConfig
from hand_pipeline.pipelines import shipped
from hand_pipeline.pipelines.shipped import ShippedConfig, score, shipped_methods, show_photos
from hand_pipeline.training.checkpoint import load_checkpoint, pack_method, save_checkpoint
from hand_pipeline.viz.photo_models import SeenPhoto

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/hand_pipeline/assets"
CPU = MachineConfig(accelerator="cpu")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one shipped model, and its card."""
    torch.manual_seed(0)
    method = Lifter(LifterConfig(width=24, layers=1, heads=2), HandAugmentationConfig())
    folder = tmp_path / "models"
    packed = pack_method("lifter", method.state_dict(), **method.configs)
    save_checkpoint(folder / "lifter.safetensors", packed)
    (folder / "lifter.md").write_text("# lifter\n")
    return folder


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees an upright right hand in every bright photo."""
    mano = ManoHand(tips="freihand")
    rest = mano(mano.full_pose(torch.zeros(1, 48), False), torch.zeros(1, 10)).joints[0]
    flat = (rest[:, :2] * 500).numpy() + np.array([90, 70])
    hand = Detection(
        np.concatenate([flat.min(0), flat.max(0)]), flat, rest.numpy(), "right", 0.99, 1
    )

    class Bright:
        cfg = DetectorConfig()

        def __call__(self, photo: np.ndarray) -> list[Detection]:
            return [hand] if photo.mean() > 100 else []

    monkeypatch.setattr(shipped, "HandDetector", lambda cfg: Bright())


def photo(path: Path, brightness: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (200, 150), (brightness,) * 3).save(path)


def test_every_shipped_model_comes_after_what_needs_no_training(models: Path) -> None:
    assert [n for n, _ in shipped_methods(models, None)] == ["shipped_mediapipe", "shipped_lifter"]
    (models / "lifter.safetensors").unlink()
    assert [name for name, _ in shipped_methods(models, None)] == ["shipped_mediapipe"]


def test_models_of_the_open_hand_are_not_compared_on_another_one(models: Path) -> None:
    other = ROOT / "src/hand_pipeline/assets/open_hand/openhand_right.npz"
    assert [name for name, _ in shipped_methods(models, other)] == ["shipped_mediapipe"]


def test_so_many_of_the_user_s_photos_that_show_a_hand_are_drawn(
    tmp_path: Path, models: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, brightness in (("a", 200), ("b", 200), ("dark", 10)):
        photo(tmp_path / "mine" / f"{name}.png", brightness)
    (tmp_path / "mine/broken.jpg").write_text("no photo")
    drawn = []

    def draw(seen: list[SeenPhoto], headings: dict[str, str]) -> Image.Image:
        drawn.append(([each.caption for each in seen], list(headings.values())))
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(shipped, "photo_models", draw)
    model = load_checkpoint(untrained)
    for count in (12, 1):
        cfg = ShippedConfig(photos=count)
        given = (tmp_path / "mine", model, model, models, cfg, CPU)
        _, away = show_photos(*given)
    assert sorted(drawn[0][0]) == ["a", "b"]
    assert len(drawn[1][0]) == 1
    assert [heading.split(", ")[-1] for heading in drawn[0][1]] == [
        "trained here", "shipped", "shipped"
    ]  # fmt: skip
    assert away["shipped_mediapipe"] < 3 < min(away["shipped_lifter"], away["handmim"])
    assert away["supervised"] == away["handmim"]


def test_each_photo_is_a_strip_of_all_models(tmp_path: Path, models: Path, untrained: Path) -> None:
    photo(tmp_path / "mine/a.png", 200)
    model = load_checkpoint(untrained)
    given = (tmp_path / "mine", *[model] * 2, models, ShippedConfig(photos=1), CPU)
    picture = np.array(show_photos(*given)[0])
    tiles = [picture[24:184, 4 + 164 * place : 164 + 164 * place] for place in range(4)]
    empty, *meshes = [int((tile.std(axis=2) > 5).sum()) for tile in tiles]
    assert empty == 0
    assert min(meshes) > 500


@pytest.mark.parametrize("folder", ["mine", "none"])
def test_without_photos_of_hands_there_is_a_note_in_place_of_the_picture(
    tmp_path: Path, models: Path, untrained: Path, folder: str
) -> None:
    photo(tmp_path / "mine/dark.png", 10)
    given = (tmp_path / folder, *[load_checkpoint(untrained)] * 2, models, ShippedConfig(), CPU)
    picture, away = show_photos(*given)
    assert picture.width > 300
    assert away == {}


def test_the_table_says_what_was_trained_here(tmp_path: Path, untrained: Path) -> None:
    """Also where a shipped model is called as one that was trained here."""
    truth = np.random.default_rng(0).normal(0, 0.05, (3, 799, 3))
    folders = {"mean_hand": 0.02, "supervised": 0.01, "handmim": 0.01, "shipped_handmim": 0.0}
    for name, noise in folders.items():
        made = truth + noise * np.random.default_rng(1).normal(size=truth.shape)
        where = tmp_path / ("shipped" if name.startswith("shipped") else "trained")
        hands = PredictedHands(
            ("a", "b", "c"), made[:, :21], made[:, 21:], np.zeros((3, 16, 3, 3)),
            np.zeros((3, 10)), truth[:, :21], truth[:, 21:],
        )  # fmt: skip
        save_predictions(where / f"{name}.npz", hands)
    model = load_checkpoint(untrained)
    metrics, table = score(
        tmp_path / "trained", tmp_path / "shipped", 0.5, {"handmim": 20.0, "shipped_handmim": 2.0},
        model, model, ShippedConfig(),
    )  # fmt: skip
    assert table["model"].tolist()[0] == "mean hand"
    assert table["model"].str.startswith("trained here: ").tolist() == [False, True, True, False]
    assert table["model"].tolist()[-1] == "shipped: handmim"
    assert table["pa_mpvpe_mm"].iloc[-1] < 1e-3 < table["pa_mpvpe_mm"].iloc[-2]
    assert table["photos_percent"].fillna(-1).tolist() == [-1, -1, 20, 2]
    assert metrics["found"] == 0.5
