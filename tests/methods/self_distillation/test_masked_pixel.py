import torch

from hand_pipeline.methods.self_distillation.masked_pixel import (
    masked_pixel_loss,
    patches_to_pixels,
)


def test_a_patch_becomes_its_square_of_pixels():
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, 5] = True  # second row, third column
    pixels = patches_to_pixels(mask, 4)[0, 0]
    assert pixels.shape == (12, 12)
    assert pixels[4:8, 8:12].all()
    assert pixels.sum() == 16


def test_only_pixels_that_count_are_averaged():
    predicted, target = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    target[:, :, 0] = 5
    counted = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    counted[0, :, 0] = True
    assert masked_pixel_loss(predicted, target, counted) == 5
    assert masked_pixel_loss(predicted, target, ~counted) < 3


def test_nothing_to_count_gives_zero_not_nan():
    image = torch.randn(1, 3, 4, 4)
    assert masked_pixel_loss(image, -image, torch.zeros(1, 1, 4, 4, dtype=torch.bool)) == 0
