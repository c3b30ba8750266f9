import colorsys

import pytest
import torch

from hand_pipeline.data.colour import (
    blur,
    clamp_normalized_,
    gaussian_kernels,
    imagenet_denormalize,
    imagenet_normalize,
    jitter_maps,
    normalizing,
    recolour,
    solarize_normalized,
)


@pytest.fixture
def images():
    return torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))


def recoloured(images, jitter=True, gray=False, order=(0, 1, 2, 3), **values):
    count = len(images)
    numbers = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0} | values
    colours = jitter_maps(
        **{name: torch.full((count,), value) for name, value in numbers.items()},
        order=torch.tensor(order).expand(count, 4),
        jitter=torch.full((count,), jitter),
        gray=torch.full((count,), gray),
    )
    return recolour(images, colours.at(images.mean((2, 3))))


def luma(images):
    return (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


def test_neutral_jitter_changes_nothing(images):
    torch.testing.assert_close(recoloured(images), images)


def test_brightness_multiplies(images):
    torch.testing.assert_close(recoloured(images, brightness=0.7), 0.7 * images)


def test_contrast_pulls_towards_the_mean_grey(images):
    mean = luma(images).mean((2, 3), keepdim=True)
    torch.testing.assert_close(recoloured(images, contrast=0.6), 0.6 * images + 0.4 * mean)


def test_saturation_pulls_towards_the_pixels_grey(images):
    expected = 0.8 * images + 0.2 * luma(images)
    torch.testing.assert_close(recoloured(images, saturation=0.8), expected)


def test_gray_is_luma_in_every_channel(images):
    torch.testing.assert_close(recoloured(images, gray=True), luma(images).expand(4, 3, 20, 20))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 0, 3, 1)])
def test_a_sequence_equals_its_steps_one_after_another(images, order):
    values = {"brightness": 0.8, "contrast": 1.3, "saturation": 0.9, "hue": 0.07}
    names = list(values)
    expected = images
    for kind in order:
        expected = recoloured(expected, **{names[kind]: values[names[kind]]})
    torch.testing.assert_close(recoloured(images, order=order, **values), expected)


def test_hue_keeps_brightness_and_turns_as_the_colour_wheel_does(images):
    turned = recoloured(images, hue=0.1)
    torch.testing.assert_close(luma(turned), luma(images), atol=1e-3, rtol=0)
    red = torch.zeros(1, 3, 1, 1)
    red[:, 0] = 0.5
    third = recoloured(red, hue=1 / 3)[0, :, 0, 0].clamp(0, 1)
    hue = colorsys.rgb_to_hsv(*third.tolist())[0]
    assert abs(hue - 1 / 3) < 0.06  # HSV and YIQ agree on hue only roughly


def test_without_jitter_only_grey_applies(images):
    torch.testing.assert_close(recoloured(images, jitter=False, brightness=0.3), images)


def test_blur_equals_a_gaussian_of_that_width():
    dot = torch.zeros(2, 3, 41, 41)
    dot[:, :, 20, 20] = 1
    sigma = torch.tensor([1.5, 2.5])
    soft = blur(dot, gaussian_kernels(sigma, torch.tensor([True, True]), 10))
    along = torch.arange(41) - 20.0
    for dimension in (2, 3):
        profile = soft.sum(5 - dimension)[:, 0]
        torch.testing.assert_close((profile * along**2).sum(1).sqrt(), sigma, atol=1e-2, rtol=0)
    torch.testing.assert_close(soft.sum((1, 2, 3)), torch.tensor([3.0, 3.0]))


def test_blur_leaves_the_images_that_were_not_chosen(images):
    chosen = torch.tensor([True, False, True, False])
    soft = blur(images, gaussian_kernels(torch.full((4,), 2.0), chosen, 6))
    assert torch.equal(soft[~chosen], images[~chosen])
    assert not torch.allclose(soft[chosen], images[chosen])


def test_blur_keeps_the_brightness_of_a_border():
    white = torch.ones(1, 3, 16, 16)
    kernels = gaussian_kernels(torch.tensor([3.0]), torch.tensor([True]), 9)
    torch.testing.assert_close(blur(white, kernels), white)


def test_solarize_inverts_what_is_bright_in_the_chosen_images(images):
    chosen = torch.tensor([True, False, False, True])
    normalized = imagenet_normalize(images)
    result = imagenet_denormalize(solarize_normalized(normalized, chosen, 0.5))
    expected = torch.where(images >= 0.5, 1 - images, images)
    torch.testing.assert_close(result[chosen], expected[chosen])
    torch.testing.assert_close(result[~chosen], images[~chosen])


def test_colour_and_normalisation_in_one_matrix_equal_one_after_the_other(images):
    numbers = torch.full((4,), 0.8)
    colours = jitter_maps(
        *(numbers, 1.3 * numbers, numbers, 0.1 * numbers),
        order=torch.tensor([2, 1, 0, 3]).expand(4, 4),
        jitter=torch.ones(4, dtype=torch.bool),
        gray=torch.zeros(4, dtype=torch.bool),
    )
    mean = images.mean((2, 3)) * 255
    together = recolour(images * 255, normalizing(colours, 255.0).at(mean))
    clamp_normalized_(together)
    matrix = colours.at(mean)
    steps = (recolour(images * 255, matrix) / 255).clamp(0, 1)
    torch.testing.assert_close(together, imagenet_normalize(steps), atol=1e-5, rtol=1e-5)


def test_normalising_can_be_undone(images):
    torch.testing.assert_close(imagenet_denormalize(imagenet_normalize(images)), images)
