"""Probes of backbones on photos: made-up ones, and the open ones where they are."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.evaluation.backbone_probes import PhotoProbesConfig
from hand_pipeline.evaluation.photo_probe import PhotoProbeConfig
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.pipelines.photo_probes import draw_probes, score_probes
from hand_pipeline.training.checkpoint import Checkpoint, save_checkpoint

MACHINE = MachineConfig(accelerator="cpu")
VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3
)
QUICK = PhotoProbeConfig(folds=2, penalties=(1e-2,))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signs are grey levels; tips are where a red and a blue spot are."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label, group = number % 2, f"group{number % 4}"
        photo = rng.integers(0, 40, (40, 40, 3), dtype=np.uint8) + np.uint8(200 * label)
        Image.fromarray(photo).save(folder / f"sign{number}.png")
        rows.append((f"sign{number}.png", "signs", 40, 40, group, label, "", "", ""))
        left, top = rng.integers(4, 30, 2).tolist()
        photo = np.full((40, 40, 3), 120, np.uint8)
        photo[top : top + 6, left : left + 6] = (255, 0, 0)
        Image.fromarray(photo).save(folder / f"tip{number}.png")
        spot = f"{left + 3},{top + 3}"
        rows.append((f"tip{number}.png", "tips", 40, 40, group, "", "", spot, spot))
    columns = ["file", "set", "width", "height", "group", "label", "hand_boxes"]
    columns += ["thumb_tip", "index_tip"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "manifest.csv", index=False)
    return folder


def backbone(seed: int, pretrained_by: str = "handmim") -> Checkpoint:
    torch.manual_seed(seed)
    vit = build_vit(VIT)
    metadata = {"backbone": VIT.model_dump(mode="json"), "pretrained_by": pretrained_by}
    return Checkpoint(vit.backbone_state(), metadata)


def config(folder: Path | None, **changes: object) -> PhotoProbesConfig:
    return PhotoProbesConfig(
        folder=folder, sets={"signs": "classes", "tips": "tips"}, probe=QUICK, **changes
    )


def test_each_backbone_is_probed_on_each_set(photos: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ibot.safetensors", backbone(2, "ibot"))
    others = {"ibot": tmp_path / "ibot.safetensors", "peclr": tmp_path / "none.safetensors"}
    cfg = config(photos, backbones=others)
    metrics, table = score_probes(backbone(1), cfg, MACHINE)
    assert table["features"].tolist() == ["random", "handmim", "ibot"]  # peclr is not there
    assert metrics["backbones"] == 3
    for name in table["features"]:
        signs, tips = metrics[name]["signs"], metrics[name]["tips"]
        assert signs["accuracy"] == 1  # grey levels are in any features
        assert (signs["chance"], signs["photos"], signs["groups"]) == (0.5, 40, 4)
        assert 0 < tips["error"] == pytest.approx((tips["thumb"] + tips["index"]) / 2)
        assert 10 < tips["mean place"] < 50
    assert len(set(table["tips error"])) == 3  # other weights, other features
    assert draw_probes(table, cfg).width > 500
    assert score_probes(backbone(1), cfg, MACHINE)[1].equals(table)


@pytest.mark.parametrize("given", [False, True])
def test_without_photos_it_is_skipped_and_says_what_to_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: bool
) -> None:
    cfg = config(tmp_path if given else None)
    metrics, table = score_probes(backbone(1), cfg, MACHINE)
    assert "photo_probes is skipped" in caplog.text
    assert "--params photo_probes.folder=DIR" in caplog.text
    assert metrics == {"backbones": 0}
    table.to_csv(tmp_path / "t.csv", index=False)
    assert draw_probes(pd.read_csv(tmp_path / "t.csv"), cfg).width > 100


def test_a_name_that_comes_twice_is_refused(photos: Path, tmp_path: Path) -> None:
    twice = config(photos, backbones={"handmim": tmp_path})
    with pytest.raises(ValueError, match="'handmim' is taken"):
        score_probes(backbone(1), twice, MACHINE)


@pytest.mark.slow
@pytest.mark.skipif("PROBE_PHOTOS" not in os.environ, reason="PROBE_PHOTOS names no folder")
def test_signs_on_the_open_photos_are_told_above_chance() -> None:
    cfg = PhotoProbesConfig(
        folder=Path(os.environ["PROBE_PHOTOS"]), sets={"sign_digits": "classes"}, probe=QUICK
    )
    metrics, _ = score_probes(backbone(1), cfg, MACHINE)
    for name in ("random", "handmim"):
        assert metrics[name]["sign_digits"]["accuracy"] > 2 * metrics[name]["sign_digits"]["chance"]
