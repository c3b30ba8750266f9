"""Labels of photos by fitting: known hands come back, unsure ones stay out and are counted."""

import io
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import read_keypoints
from hand_pipeline.data.hand_mix import open_hand_set
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos import detect_hands, pseudo_labels
from hand_pipeline.data.photos.detection_copies import CopiesConfig
from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.data.photos.photo_hands import crop_intrinsics
from hand_pipeline.data.photos.pseudo_labels import (
    PseudoLabelConfig,
    account,
    label_crops,
    split_groups,
)
from hand_pipeline.data.photos.pseudo_set import write_pseudo_hands, write_pseudo_keypoints
from hand_pipeline.data.shards.files import ShardReader, ShardWriter
from hand_pipeline.geometry.camera import project, unproject
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.pipelines.pseudo_label import label_photos

SIZE, COUNT = 128, 10
GOOD, MISSED, LEFT, SCRAMBLED, SELDOM = range(6), 6, 7, 8, 9
ALIKE = CopiesConfig(count=1, rotation_deg=0, scale_min=1, scale_max=1, mirrored=0)
CFG = PseudoLabelConfig(copies=ALIKE, min_looks=2, kept=0.8, left_out="b", crop_size=64, shown=6)
META = {
    "photo_size": [400, 300], "matrix": [[1.0, 0, -100], [0, 1, -80], [0, 0, 1]],
    "mirrored": False, "score": 0.9,
}  # fmt: skip


class Scene(NamedTuple):
    """Crops in shards, the true joints of their hands, and how often a detector looked."""

    shards: ShardReader
    mano: ManoHand
    joints: torch.Tensor
    looked: Counter[int]
    folder: Path


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Ten crops, whose grey level tells a made-up detector which hand they show."""
    torch.manual_seed(2)
    mano = ManoHand(tips="freihand")
    turn = 0.4 * torch.randn(COUNT, 48)
    turn[:, 3:] = (0.3 * torch.randn(COUNT, 15, 1) * mano.flex_axes).flatten(1)
    camera = crop_intrinsics(META).expand(COUNT, 3, 3)
    joints = mano(mano.full_pose(turn, flat_hand_mean=False), torch.zeros(COUNT, 10)).joints
    middle = unproject(torch.full((COUNT, 1, 2), SIZE / 2), torch.full((COUNT, 1), 1.2), camera)
    joints = joints - joints[:, 9:10] + middle
    points = project(joints, camera)
    with ShardWriter(tmp_path / "crops") as writer:
        for row in range(COUNT):
            image = io.BytesIO()
            Image.new("RGB", (SIZE, SIZE), (20 * row,) * 3).save(image, "JPEG")
            source = {"set": "b" if row in (4, 5) else "a", "group": f"person{row // 2}"}
            meta = {**META, **source, "file": f"{row}.jpg", "landmarks_2d": points[row].tolist()}
            writer.add(f"crop{row}", image.getvalue(), meta)
    looked: Counter[int] = Counter()

    def find(image: np.ndarray) -> list[Detection]:
        row = round(float(image.mean()) / 20)
        looked[row] += 1
        if row == MISSED or (row == SELDOM and looked[row] > 1):
            return []
        flat, deep = points[row].double().numpy(), (joints[row] - joints[row, 9]).double().numpy()
        if row == SCRAMBLED:
            flat, deep = flat[::-1].copy(), deep[::-1].copy()
        box = np.concatenate([flat.min(0), flat.max(0)])
        return [Detection(box, flat, deep, "left" if row == LEFT else "right", 0.8, 1)]

    (tmp_path / "model.task").write_bytes(b"a model")
    monkeypatch.setattr(pseudo_labels, "resolve_model", lambda *_: tmp_path / "model.task")
    monkeypatch.setattr(detect_hands, "_detector", lambda cfg: find)
    return Scene(ShardReader(tmp_path / "crops"), mano, joints, looked, tmp_path)


def labels_in(scene: Scene, **changed: Any) -> pseudo_labels.PseudoLabels:
    cfg = CFG.model_copy(update=changed)
    return label_crops(scene.shards, cfg, scene.mano, scene.folder / "parts", 1)


def test_what_is_unsure_is_left_out_with_its_reason(scene: Scene) -> None:
    table = labels_in(scene).table
    assert table["outcome"].tolist()[:6] == ["accepted"] * 6
    assert table["outcome"][MISSED] == "no_hand"
    assert table["outcome"][LEFT] == "other_side"
    assert table["outcome"][SCRAMBLED] in ("residual_2d", "residual_3d")
    assert table["outcome"][SELDOM] == "few_looks"
    assert table["split"].tolist() == ["training"] * 4 + ["evaluation"] * 2 + [""] * 4
    assert table["id"].tolist()[3:6] == [
        "training/00000003", "evaluation/00000000", "evaluation/00000001"
    ]  # fmt: skip
    metrics = account(table)
    assert sum(metrics["outcomes"].values()) == metrics["crops"] == COUNT
    assert metrics["by_set"]["b"] == {"accepted": 2}
    assert (metrics["training"], metrics["evaluation"]) == (4, 2)


def test_the_set_is_read_as_any_labelled_one_and_has_the_true_hands(scene: Scene) -> None:
    labels, out = labels_in(scene), scene.folder / "out"
    write_pseudo_hands(labels, scene.shards, scene.mano, out)
    write_pseudo_keypoints(labels, scene.shards, CFG, scene.folder / "seen")
    for split, rows in (("training", [0, 1, 2, 3]), ("evaluation", [4, 5])):
        hands = open_hand_set("freihand", out, split)
        assert hands.unique_ids == [
            f"{split}/{'ab'[split != 'training']}/person{r // 2}" for r in rows
        ]
        batch = hands.collate([hands[row] for row in range(len(rows))])
        truth = scene.joints[rows]
        assert (procrustes_align(batch.joints_3d, truth) - truth).norm(dim=-1).mean() < 0.002
        assert batch.has_mano.all()
        again = scene.mano(batch.mano_pose, batch.betas).joints
        shift = batch.joints_3d[:, :1] - again[:, :1]
        torch.testing.assert_close(again + shift, batch.joints_3d, rtol=0, atol=1e-4)
        grey = batch.images.float().mean((1, 2, 3))
        torch.testing.assert_close(grey, 20.0 * torch.tensor(rows), rtol=0, atol=1)
        seen = read_keypoints(scene.folder / "seen", split)
        assert seen.ids == batch.ids
        assert seen.image_size == 64
        expected = project(truth, crop_intrinsics(META).expand(len(rows), 3, 3)) / 2
        np.testing.assert_allclose(seen.points, expected, atol=1e-3)
        assert seen.points_3d is not None


def test_blocks_that_were_looked_at_are_not_looked_at_again(scene: Scene) -> None:
    first = labels_in(scene)
    looks = scene.looked.total()
    assert looks == 2 * COUNT - 1  # one has no hand to make a copy for
    again = labels_in(scene, kept=1.0)
    assert scene.looked.total() == looks
    assert again.table["outcome"][SCRAMBLED] == "accepted"
    assert torch.equal(again.fits.vertices, first.fits.vertices)


def test_a_group_is_never_parted_and_stays_where_it_is_when_others_come() -> None:
    cfg = PseudoLabelConfig(held_out=0.3)
    groups = [f"a/{number // 3}" for number in range(300)]
    splits = split_groups(["a"] * 300, groups, cfg)
    assert 0.15 < splits.count("evaluation") / 300 < 0.45
    assert len(set(zip(groups, splits))) == 100
    assert split_groups(["a"] * 90, groups[:90], cfg) == splits[:90]


def test_a_set_that_is_not_there_cannot_be_left_out(scene: Scene) -> None:
    with pytest.raises(DataSetError, match="left_out is 'c', but the crops are of the sets a, b"):
        labels_in(scene, left_out="c")


def test_photos_of_which_nothing_is_sure_are_an_error(scene: Scene) -> None:
    scene.looked.update(dict.fromkeys(range(COUNT), 9))
    with pytest.raises(DataSetError, match=r"no hand of 10 crops is accepted: .*few_looks"):
        labels_in(scene, min_looks=3)


def test_more_looks_than_are_made_cannot_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="min_looks is 6, but a crop and its 3 copies"):
        PseudoLabelConfig(copies=CopiesConfig(count=3))


def test_the_node_gives_set_keypoints_table_counts_and_picture(scene: Scene) -> None:
    machine = MachineConfig(accelerator="cpu", workspace=scene.folder / "work", workers=1)
    hands, keypoints, table, metrics, picture = label_photos(scene.shards.directory, CFG, machine)
    assert (hands / "training_groups.json").is_file()
    assert read_keypoints(keypoints, "evaluation").found.all()
    assert len(table) == COUNT
    assert metrics["outcomes"]["accepted"] == 6
    assert picture.width > picture.height > 160
