"""How like the photo a rendered hand is, against PSNR and SSIM stated independently."""

import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import HandDataset
from hand_pipeline.methods.s2hand import evaluation
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.photometric import MOST_PSNR, picture_quality
from hand_pipeline.methods.s2hand.s2hand import S2Hand

SIZE = 40
REGION = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
REGION[:, 12:26, 11:28] = True  # 10 px from every border, so no window meets the padding


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.rand(2, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return first.double(), second.double()


@pytest.mark.parametrize("error", [0.3, 0.01])
def test_psnr_of_a_constant_error(error):
    first, noise = pictures()
    second = torch.where(REGION[:, None], first + error, noise)  # outside does not count
    found, _ = picture_quality(second, first, REGION)
    np.testing.assert_allclose(found, -20 * math.log10(error))


def test_the_same_picture_is_alike_in_full():
    picture, noise = pictures()
    found, similar = picture_quality(torch.where(REGION[:, None], picture, noise), picture, REGION)
    assert found.tolist() == [MOST_PSNR] * 2
    np.testing.assert_allclose(similar, 1)


def test_ssim_is_its_plain_statement_over_the_region():
    first, second = pictures()
    second = 0.7 * first + 0.3 * second
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    shown = REGION[:, None].double()
    expected = []
    for a, b in zip((first * shown).numpy(), (second * shown).numpy()):
        values = []
        for y, x in np.argwhere(REGION[0].numpy()):
            for p, q in zip(*(picture[:, y - 5 : y + 6, x - 5 : x + 6] for picture in (a, b))):
                m, n = (window * p).sum(), (window * q).sum()
                v, w = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
                shared = (window * (p - m) * (q - n)).sum()
                top = (2 * m * n + 1e-4) * (2 * shared + 9e-4)
                values.append(top / ((m * m + n * n + 1e-4) * (v + w + 9e-4)))
        expected.append(np.mean(values))
    _, similar = picture_quality(first, second, REGION)
    np.testing.assert_allclose(similar, expected, rtol=1e-9)
    assert 0.1 < similar.max() < 0.95


def test_a_hand_outside_the_picture_shows_nothing():
    first, second = pictures()
    found, similar = picture_quality(first, second, torch.zeros_like(REGION))
    assert found.tolist() == similar.tolist() == [0, 0]


def test_a_photo_of_the_rendered_hand_itself_scores_its_rounding(monkeypatch):
    torch.manual_seed(0)
    side = 64
    model = S2Hand(
        S2HandConfig(hourglass=HourglassConfig(width=8, depth=1, blocks=1)),
        EfficientNetConfig(name="mobilenetv2_035", image_size=side),
        HandAugmentationConfig(image_size=side),
    ).eval()
    camera = torch.tensor([[2.0 * side, 0, side / 2], [0, 2.0 * side, side / 2], [0, 0, 1]])
    grey = torch.full((1, 3, side, side), 128, dtype=torch.uint8)
    batch = HandBatch.unlabelled(("0",), grey, camera[None])
    hand = model.predict(batch)
    drawn = model.renderer(
        hand.vertices[:, 0], hand.colours, hand.light, hand.intrinsics, (side, side)
    )
    assert 0.02 < drawn.mask.float().mean() < 0.9
    pure = drawn.colours / drawn.alpha[:, None].clamp(min=0.5)  # of the outline's pixels, too
    colours = torch.where(drawn.mask[:, None], pure, 0.5).detach()
    photo = (colours * 255).round().to(torch.uint8)
    machine = MachineConfig(accelerator="cpu")

    def scores(images: torch.Tensor) -> dict[str, float]:
        seen = HandBatch.unlabelled(("0",), images, camera[None])
        monkeypatch.setattr(evaluation, "set_batches", lambda *_: iter([seen]))
        return evaluation.texture_scores(model, Mock(spec=HandDataset), 1, machine)

    monkeypatch.setattr(model, "predict", lambda _: hand)
    found = scores(photo)
    # rounding moves no colour by more than half a step of 255
    assert 20 * math.log10(2 * 255) <= found["texture_psnr_db"] < MOST_PSNR
    assert found["texture_ssim"] == pytest.approx(1, abs=1e-3)
    assert photo.max() <= 204  # nothing overflows
    share = drawn.alpha[drawn.mask].square().mean().item()  # the outline's pixels are mixed
    expected = -20 * math.log10(51 / 255) - 10 * math.log10(share)
    assert scores(photo + 51)["texture_psnr_db"] == pytest.approx(expected, abs=0.1)
