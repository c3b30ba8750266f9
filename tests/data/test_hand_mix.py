"""A mix draws each set by its weight and leaves nothing out; what a set lacks becomes a flag."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.freihand import write_freihand
from tests.fixtures.scene import draw, make_hands, save_picture

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import HandDataset, LabelsConfig
from hand_pipeline.data.hand_images import HandCropConfig, HandImages, read_bad_photos
from hand_pipeline.data.hand_mix import HandMix, MixConfig, MixMember, open_training_hands
from hand_pipeline.data.loader import batches_from
from hand_pipeline.data.manifest import DataSetError, build_manifest
from hand_pipeline.data.readers.freihand import write_groups
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.vit import VitConfig


class Numbers:
    """A set of `length` samples that are their own index."""

    crop_scale = 2.0

    def __init__(self, length: int) -> None:
        self.ids = [str(i) for i in range(length)]
        self.unique_ids = self.ids
        self.fingerprint = str(length)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def collate(self, samples: list[int]) -> HandBatch:
        raise NotImplementedError


def number_mix() -> HandMix:
    return HandMix({"small": Numbers(10), "large": Numbers(90)}, {"small": 1.0, "large": 3.0})


def test_an_epoch_holds_each_set_by_its_weight() -> None:
    mix = number_mix()
    order = mix.epoch_order(seed=0, epoch=3)
    assert len(order) == 100
    assert (order < 10).sum() == 25
    assert {mix[int(i)].member for i in order} == {0, 1}


def test_no_sample_comes_twice_before_all_of_its_set_have_come() -> None:
    mix = number_mix()
    drawn = np.concatenate([mix.epoch_order(0, epoch) for epoch in range(6)])
    small, large = drawn[drawn < 10], drawn[drawn >= 10]
    assert set(np.bincount(small)) == {15}  # 150 draws of 10
    counts = np.bincount(large - 10, minlength=90)
    assert counts.sum() == 450
    assert set(counts) == {5}


def test_epochs_are_a_function_of_seed_and_number() -> None:
    np.testing.assert_array_equal(number_mix().epoch_order(1, 2), number_mix().epoch_order(1, 2))
    assert (number_mix().epoch_order(1, 2) != number_mix().epoch_order(1, 3)).any()
    assert (number_mix().epoch_order(1, 2) != number_mix().epoch_order(2, 2)).any()


def test_a_stream_can_start_at_any_step() -> None:
    class Listed(HandMix):
        def collate(self, samples):  # type: ignore[no-untyped-def, override]
            return [drawn.sample for drawn in samples]

    mix = Listed({"small": Numbers(10), "large": Numbers(90)}, {"small": 1.0, "large": 3.0})
    stream = batches_from(mix, 8, seed=0)
    whole, later = stream(0), stream(15)
    first = [next(whole) for _ in range(20)]
    assert [next(later) for _ in range(5)] == first[15:]


def test_weights_for_other_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="expected weights for the sets a, got weights for b"):
        HandMix({"a": Numbers(3)}, {"b": 1.0})


@pytest.fixture
def flat(tmp_path: Path) -> HandImages:
    """Full photos of left hands with 2D joints alone, and no camera."""
    hands = make_hands(4, (160, 120), sides="left", seed=1)
    for row in range(4):
        save_picture(tmp_path / f"{row}.jpg", draw(hands, [row]))
    names = [str(row) for row in range(4)]
    manifest = build_manifest(
        "flat", "all", tmp_path, names, [f"{n}.jpg" for n in names], boxes=hands.boxes,
        is_right=hands.is_right, joints_2d=hands.joints_2d,
    )  # fmt: skip
    return HandImages(manifest, ManoHand(), HandCropConfig(crop_size=64))


@pytest.fixture
def full(tmp_path: Path) -> HandDataset:
    write_freihand(tmp_path / "freihand", "training", count=3)
    return open_training_hands(tmp_path / "freihand", MixConfig(crop_size=64), LabelsConfig(), None)


def test_sets_with_other_labels_share_a_batch_in_the_order_drawn(
    full: HandDataset, flat: HandImages
) -> None:
    mix = HandMix({"full": full, "flat": flat}, {"full": 1.0, "flat": 1.0})
    batch = mix.collate([mix[i] for i in (7, 0, 8, 1)])
    assert batch.ids == ("flat/1", "full/training/00000000", "flat/2", "full/training/00000001")
    assert batch.has_mano.tolist() == [False, True, False, True]
    assert batch.has_joints_2d.all()
    torch.testing.assert_close(batch.images[1], full[0].image)
    torch.testing.assert_close(batch.images[2], flat[2].image)


def test_a_batch_of_mixed_labels_trains_with_finite_gradients(
    full: HandDataset, flat: HandImages
) -> None:
    mix = HandMix({"full": full, "flat": flat}, {"full": 1.0, "flat": 1.0})
    torch.manual_seed(0)
    vit = VitConfig(
        name="vit_tiny_patch16_224", image_size=32, patch_size=8, depth=1, embed_dim=32, num_heads=2
    )
    head = PyMAFConfig(
        grid_side=4, num_vertices=20, pyramid_channels=8, point_channels=[8, 4], regressor_width=16,
        weight_local_vertices=1.0,
    )  # fmt: skip
    method = PyMAF(head, vit, HandAugmentationConfig(image_size=32)).train()
    batch = mix.collate([mix[i] for i in (0, 6, 7, 1)])
    losses = method.losses(batch, 0)
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_a_broken_photo_is_replaced_and_noted_once(tmp_path: Path) -> None:
    write_freihand(tmp_path / "set", "training", count=3)
    (tmp_path / "set/training/rgb/00000001.jpg").write_bytes(b"\xff\xd8 no photo")
    noted = tmp_path / "bad.jsonl"
    hands = open_training_hands(tmp_path / "set", MixConfig(), LabelsConfig(), None, noted)
    for _ in range(2):
        sample = hands[1]
    assert sample.row == 2
    assert [Path(row["file"]).name for row in read_bad_photos(noted)] == ["00000001.jpg"]


def test_a_validation_hand_never_takes_the_place_of_a_broken_photo(tmp_path: Path) -> None:
    """`HandImages` shows the next readable photo instead, and that one may be held out."""
    write_freihand(tmp_path / "set", "training", count=6, seed=0)
    labels = LabelsConfig(validation=0.3)
    whole = open_training_hands(tmp_path / "set", MixConfig(), labels, None, tmp_path / "noted")
    held_out = whole.held_out()
    assert not set(held_out.unique_ids) & set(whole.unique_ids)
    kept = set(held_out.indices)
    for row, name in enumerate(sorted((tmp_path / "set/training/rgb").iterdir())):
        if row not in kept and row != min(set(whole.indices)):
            name.write_bytes(b"broken")
    shown = whole.collate([whole[index] for index in range(len(whole))]).ids
    assert set(shown) == {whole.ids[0]}


def test_a_photo_set_is_left_out_of_the_set_that_has_it(tmp_path: Path) -> None:
    for name in ("renders", "photos"):
        write_freihand(tmp_path / name, "training", count=4)
    write_groups(tmp_path / "photos", "training", ["ti1k/a", "digits/a", "ti1k/b", "digits/b"])
    sets = {
        name: MixMember(path=tmp_path / name, split="training", hand_set="freihand")
        for name in ("renders", "photos")
    }
    labels = LabelsConfig(validation=0.25, left_out="ti1k")
    mix = open_training_hands(tmp_path, MixConfig(sets=sets), labels, None)
    assert isinstance(mix, HandMix)
    held_out = mix.held_out()
    assert held_out is not None
    for part, photo_set, renders in ((mix, "digits", 3), (held_out, "ti1k", 1)):
        shots = sorted(set(part.unique_ids))
        assert shots[:2] == [f"photos/training/{photo_set}/{group}" for group in "ab"]
        assert len(shots[2:]) == renders
    wrong = labels.model_copy(update={"left_out": "ti2k"})
    with pytest.raises(DataSetError, match="'ti2k', but no shot of renders, photos is named so"):
        open_training_hands(tmp_path, MixConfig(sets=sets), wrong, None)
