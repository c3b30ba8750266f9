from contextlib import contextmanager

import pytest
import torch

from hand_pipeline.data import views as views_module
from hand_pipeline.data.colour import imagenet_denormalize
from hand_pipeline.data.views import ViewConfig, ViewSampler
from hand_pipeline.geometry.affine2d import apply_affine, invert

PLAIN = {
    "image_size": 64,
    "jitter_probability": 0.0,
    "gray_probability": 0.0,
    "blur_probability": (0.0, 0.0),
    "solarize_probability": (0.0, 0.0),
}


def photos(count=8, height=80, width=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def test_a_bright_dot_lands_where_the_matrix_says():
    source = torch.zeros(16, 3, 80, 80, dtype=torch.uint8)
    source[:, :, 38:42, 38:42] = 255  # a square about (40, 40)
    sampler = ViewSampler(ViewConfig(**PLAIN, scale=(0.4, 1.0), padding="zeros"))
    views = sampler(source, torch.Generator().manual_seed(0))
    centre = torch.tensor([[[40.0, 40.0]]]).expand(16, 1, 2)
    along = torch.arange(64) + 0.5
    checked = 0
    for view in range(2):
        expected = apply_affine(views.matrices[view], centre)[:, 0]
        light = imagenet_denormalize(views.images[view]).mean(1)
        mass = light.sum((1, 2))
        found = torch.stack([(light * along).sum((1, 2)), (light * along[:, None]).sum((1, 2))], -1)
        inner = ((expected > 6) & (expected < 58)).all(1)
        checked += int(inner.sum())
        torch.testing.assert_close(
            (found / mass[:, None])[inner], expected[inner], atol=0.15, rtol=0
        )
    assert checked > 16


def test_rotation_and_scale_stay_in_their_ranges():
    cfg = ViewConfig(**PLAIN)
    views = ViewSampler(cfg)(photos(1, 64, 64).expand(2000, 3, 64, 64))
    linear = views.matrices[..., :2, :2].flatten(0, 1)
    area = 1 / torch.linalg.det(linear)  # photo pixels a view pixel, for equal sizes: the share
    assert area.min() >= 0.08 - 1e-4
    assert area.max() <= 1 + 1e-4
    assert abs(area.mean() - 0.54) < 0.02
    degrees = torch.rad2deg(torch.atan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert degrees.min() >= -1e-3
    assert degrees.max() <= 150 + 1e-3
    assert abs(degrees.mean() - 75) < 3


def test_random_sign_turns_both_ways():
    cfg = ViewConfig(**PLAIN, rotation_random_sign=True)
    linear = ViewSampler(cfg)(photos(400)).matrices[..., :2, :2]
    turned_left = (linear[..., 1, 0] < 0).float().mean()
    assert 0.4 < turned_left < 0.6


def test_no_view_is_mirrored():
    views = ViewSampler(ViewConfig(**PLAIN, aspect=(0.75, 4 / 3)))(photos(200))
    assert (torch.linalg.det(views.matrices) > 0).all()


@pytest.mark.parametrize("size", [(80, 80), (60, 100)])
def test_unrotated_crops_lie_inside_the_photo(size):
    cfg = ViewConfig(**PLAIN, rotation=(0, 0))
    views = ViewSampler(cfg)(photos(50, *size))
    assert views.inside.all()
    corners = torch.tensor([[[0.0, 0.0], [64.0, 64.0]]]).expand(50, 2, 2)
    for matrix in views.matrices:
        back = apply_affine(invert(matrix), corners)
        assert back.min() > -1e-3
        assert (back <= torch.tensor([size[1], size[0]]) + 1e-3).all()


def test_inside_marks_exactly_the_pixels_that_show_the_photo():
    white = torch.full((40, 3, 80, 80), 255, dtype=torch.uint8)
    views = ViewSampler(ViewConfig(**PLAIN, scale=(0.9, 1.0), padding="zeros"))(white)
    light = imagenet_denormalize(views.images.flatten(0, 1)).mean(1, keepdim=True)
    inside = views.inside.flatten(0, 1)
    assert not inside.all()
    assert (light[inside] > 0.49).all()  # a pixel on the rim is at least half white
    assert (light[~inside] < 0.51).all()


def test_the_same_seed_gives_the_same_views_and_another_seed_others():
    sampler = ViewSampler(ViewConfig(image_size=64))
    first = sampler(photos(), torch.Generator().manual_seed(1)).images
    again = sampler(photos(), torch.Generator().manual_seed(1)).images
    other = sampler(photos(), torch.Generator().manual_seed(2)).images
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_two_views_of_a_photo_differ():
    views = ViewSampler(ViewConfig(image_size=64))(photos())
    assert not torch.allclose(views.matrices[0], views.matrices[1])


def test_only_the_first_view_is_always_blurred():
    noise = photos(64, 64, 64)
    cfg = ViewConfig(
        **{**PLAIN, "blur_probability": (1.0, 0.1)},
        scale=(1.0, 1.0),
        rotation=(0, 0),
        blur_sigma=(7.0, 7.0),
    )
    contrast = ViewSampler(cfg)(noise).images.std((2, 3, 4))
    assert (contrast[0] < 0.5).all()
    assert 0.75 < (contrast[1] > 0.8).float().mean() <= 1


@pytest.mark.parametrize(
    ("key", "value"), [("scale", (0.5, 0.1)), ("scale", (0.0, 1.0)), ("blur_probability", (2.0, 0))]
)
def test_impossible_ranges_are_refused(key, value):
    with pytest.raises(ValueError, match=key):
        ViewConfig(**{key: value})


def test_views_that_shrink_the_photo_are_smoothed():
    stripes = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    stripes[..., ::2] = 255  # as fine as pixels are: a view of a quarter the size must be grey
    cfg = ViewConfig(**PLAIN, scale=(1.0, 1.0), rotation=(0.0, 0.0))
    light = imagenet_denormalize(ViewSampler(cfg)(stripes).images[0])
    torch.testing.assert_close(light, torch.full_like(light, 0.5), atol=0.02, rtol=0)


@contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_views_do_not_depend_on_how_many_are_made_at_once_or_by_how_many_threads(monkeypatch):
    sampler = ViewSampler(ViewConfig(image_size=64))
    together = sampler(photos(), torch.Generator().manual_seed(1))
    monkeypatch.setattr(views_module, "_AT_ONCE", 3)
    apart = sampler(photos(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(together.images, apart.images, atol=1e-5, rtol=1e-5)
    for count in (2, 3):
        with threads(count):
            shared = sampler(photos(), torch.Generator().manual_seed(1))
            assert torch.get_num_threads() == count
        torch.testing.assert_close(together.images, shared.images, atol=1e-5, rtol=1e-5)
        assert torch.equal(together.matrices, shared.matrices)
        assert torch.equal(together.inside, shared.inside)


def test_threads_work_in_inference_mode_too():
    with threads(2), torch.inference_mode():
        views = ViewSampler(ViewConfig(image_size=64))(photos(16))
    assert views.images.is_inference()
