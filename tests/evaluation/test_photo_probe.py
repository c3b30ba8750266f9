"""Probes of features: what can be read off is, what belongs to a person is not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.data.photos.probe_photos import read_probe_photos
from hand_pipeline.evaluation.photo_probe import (
    PhotoProbeConfig,
    class_probe,
    encode_photos,
    group_folds,
    point_probe,
)
from hand_pipeline.models.vit import VitConfig, build_vit

GROUPS = [f"person{i // 12}" for i in range(240)]
LABELS = np.arange(240) % 4
QUICK = PhotoProbeConfig(folds=4, penalties=(1e-3, 1e-1))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_no_group_is_in_two_folds_and_every_class_is_in_each() -> None:
    folds = group_folds(GROUPS, LABELS, 5)
    for name in set(GROUPS):
        assert len(set(folds[np.array(GROUPS) == name])) == 1
    for fold in range(5):
        assert np.bincount(LABELS[folds == fold]).tolist() == [12] * 4
    assert (group_folds(GROUPS, LABELS, 5, seed=1) != folds).any()


def test_groups_of_one_class_each_are_shared_out_by_class() -> None:
    """As takes that show one number of fingers only; and one take is larger than all others."""
    groups = ["big"] * 40 + [f"take{i // 5}" for i in range(60)]
    labels = np.array([0] * 40 + [i // 5 % 3 for i in range(60)])
    folds = group_folds(groups, labels, 3)
    for label in (1, 2):
        shared = np.bincount(folds[labels == label], minlength=3)
        assert shared.max() - shared.min() <= 5


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be split into 3"):
        group_folds(["a", "b"], np.zeros(2, np.int64), 3)


def test_classes_that_lie_apart_are_told_right() -> None:
    features = np.eye(4)[LABELS] + 0.1 * rng().normal(size=(240, 4))
    scores = class_probe(features, LABELS, GROUPS, QUICK)
    assert scores.accuracy > 0.99
    assert scores.confusion.sum() == 240
    assert scores.fold_accuracies.shape == (4,)


def test_noise_is_told_at_chance() -> None:
    scores = class_probe(rng().normal(size=(240, 16)), LABELS, GROUPS, QUICK)
    assert 0.1 < scores.accuracy < 0.4
    assert scores.accuracy == pytest.approx(scores.balanced_accuracy)  # classes are alike in number


def test_what_only_tells_the_person_is_worth_nothing() -> None:
    """Features that name the person, and one class a person: by random splits it would be 1."""
    person = np.arange(240) // 12
    labels = person % 4
    features = np.eye(20)[person] + 0.01 * rng().normal(size=(240, 20))
    assert class_probe(features, labels, GROUPS, QUICK).accuracy < 0.5


def test_points_that_depend_linearly_are_found_and_noise_gives_the_mean_place() -> None:
    features = rng().normal(size=(240, 8))
    points = (features @ rng().normal(size=(8, 4)) * 0.05 + 0.5).reshape(240, 2, 2)
    found = point_probe(features, points, GROUPS, QUICK)
    assert found.errors.max() < 0.01
    assert found.mean_errors.min() > 0.05
    blind = point_probe(rng().normal(size=(240, 8)) * 1e-3 + 5, points[::-1].copy(), GROUPS, QUICK)
    np.testing.assert_allclose(blind.errors, blind.mean_errors, rtol=0.15)


def test_unlabelled_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="240 photos have no class"):
        class_probe(np.zeros((240, 2)), np.full(240, -1), GROUPS)
    with pytest.raises(ValueError, match="lack points"):
        point_probe(np.zeros((240, 2)), np.full((240, 2, 2), np.nan), GROUPS)


def test_features_are_the_class_tokens_of_the_crops(tmp_path: Path) -> None:
    header = "file,set,width,height,group,label,hand_boxes,thumb_tip,index_tip\n"
    pixels = rng().integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for i, photo in enumerate(pixels):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,noise,32,32,g{i},{i},,,\n" for i in range(3))
    (tmp_path / "manifest.csv").write_text(header + rows)
    vit = build_vit(
        VitConfig(
            name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=1,
            num_heads=3,
        )
    ).eval()  # fmt: skip
    features = encode_photos(vit, read_probe_photos(tmp_path, "noise", 32), batch_size=2)
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = vit((scaled - mean[:, None, None]) / std[:, None, None]).cls
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)
