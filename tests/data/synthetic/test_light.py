"""Light of real places, mirrored light, shadows and blur: against direct sums and by direction."""

import numpy as np
import pytest

from hand_pipeline.data.synthetic.camera import _compose, smeared
from hand_pipeline.data.synthetic.environment import (
    decode,
    directions,
    encode,
    environment_light,
    environment_names,
    irradiance_form,
    load_environment,
    sphere_shares,
    without_lamp,
)
from hand_pipeline.data.synthetic.light import Light, octahedral_directions, random_light
from hand_pipeline.data.synthetic.shade import _mirrored


def normals(count: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def summed_irradiance(panorama: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Radiance times cosine, summed over the panorama's pixels and the sphere's area they cover."""
    cosines = np.clip(np.einsum("hwk,nk->nhw", directions(*panorama.shape[:2]), towards), 0, None)
    area = 4 * np.pi * sphere_shares(*panorama.shape[:2])
    return np.einsum("nhw,hwc->nc", cosines * area, panorama)


def form_at(form: np.ndarray, towards: np.ndarray) -> np.ndarray:
    homogeneous = np.concatenate([towards, np.ones((len(towards), 1))], 1)
    return np.einsum("ni,cij,nj->nc", homogeneous, form, homogeneous)


def test_a_uniform_sky_gives_pi_and_the_sphere_is_whole() -> None:
    assert sphere_shares(32, 64).sum() == pytest.approx(1)
    form = irradiance_form(np.ones((64, 128, 3), np.float32))
    np.testing.assert_allclose(form_at(form, normals(20)), np.pi, rtol=2e-3)


@pytest.mark.parametrize("name", ["apartment", "forest", "lobby", "sunset", "workshop"])
def test_harmonics_agree_with_the_sum_over_the_panorama(name: str) -> None:
    """Ramamoorthi and Hanrahan 2001: off by 3 % on average, by 9 % of the largest at worst."""
    place = load_environment(name)
    rest = without_lamp(without_lamp(place.light)[0])[0]
    summed = summed_irradiance(rest, normals(80))
    error = np.abs(form_at(place.irradiance, normals(80)) - summed) / summed.max()
    assert error.mean() < 0.03
    assert error.max() < 0.09


@pytest.mark.parametrize("name", ["sky", "studio", "lobby", "bridge"])
def test_lamps_and_surroundings_make_up_the_whole_light(name: str) -> None:
    """Two lamps as points and the harmonics of the rest: what a surface gets of the panorama."""
    place = load_environment(name)
    whole = summed_irradiance(place.light, normals(80))
    lamps = sum(
        np.clip(normals(80) @ lamp.direction, 0, None)[:, None] * lamp.irradiance
        for lamp in place.lamps
    )
    error = np.abs(form_at(place.irradiance, normals(80)) + lamps - whole)
    assert error.mean() / whole.mean() < 0.04


def test_a_place_seen_by_a_turned_camera_lights_alike() -> None:
    place = load_environment("park")
    view = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    view *= np.linalg.det(view)
    light = environment_light(place, view, np.random.default_rng(0))
    seen, there = normals(30), normals(30) @ view.T
    np.testing.assert_allclose(
        form_at(light.ambient, seen), form_at(place.irradiance, there) / np.pi, atol=1e-9
    )
    np.testing.assert_allclose(view @ light.key, place.lamps[0].direction, atol=1e-9)


def test_places_are_shipped_and_come_back_as_they_were() -> None:
    assert len(environment_names()) == 18
    radiance = np.random.default_rng(0).gamma(0.5, 2.0, (256, 512, 3)).astype(np.float32)
    radiance[40:44, 80:84] = 500.0
    shown, beyond = encode(radiance)
    scale = (radiance @ [0.2126, 0.7152, 0.0722] * sphere_shares(256, 512)).sum()
    panorama, light = decode(shown, beyond)
    np.testing.assert_allclose(panorama, np.minimum(radiance / scale, 4), atol=0.03)
    whole = (light * sphere_shares(64, 128)[..., None]).sum((0, 1))
    expected = (radiance / scale * sphere_shares(256, 512)[..., None]).sum((0, 1))
    np.testing.assert_allclose(whole, expected, rtol=0.02)


def test_mirrored_light_comes_from_the_mirrored_side() -> None:
    light = random_light(np.random.default_rng(0))
    other = light.mirrored()
    flipped = normals(40) * [-1, 1, 1]
    np.testing.assert_allclose(form_at(other.ambient, flipped), form_at(light.ambient, normals(40)))
    np.testing.assert_allclose(other.key @ [-1, 0, 0], light.key[0])
    towards = octahedral_directions(16)
    np.testing.assert_allclose(towards[:, ::-1] * [-1, 1, 1], towards, atol=1e-12)
    np.testing.assert_array_equal(other.glossy[:, ::-1], light.glossy)


def test_the_octahedral_map_is_read_where_it_was_written() -> None:
    towards = octahedral_directions(16)
    for row, column in ((0, 3), (5, 5), (9, 14), (15, 15)):
        direction = towards[row, column]
        # seen along the normal, a mirror shows what lies along the normal
        assert _mirrored(tuple(direction), tuple(direction), 16) == (row, column)


@pytest.mark.parametrize("key", [(-0.6, -0.3, -0.8), (0.5, 0.2, -0.8)])
def test_shadows_on_the_wall_lie_away_from_the_lamp(key: tuple[float, float, float]) -> None:
    light = random_light(np.random.default_rng(1))
    light = light._replace(key=np.array(key) / np.linalg.norm(key), softness=1.0)
    layer = np.zeros((96, 96, 4), np.float32)
    layer[40:56, 40:56, 3] = 1
    wall = np.ones((96, 96, 3), np.float32)
    found = 0
    for seed in range(20):
        picture = _compose(wall, [layer], np.random.default_rng(seed), light)[..., 0]
        dark = np.where(layer[..., 3] > 0, 0, 1 - picture)
        if dark.sum() < 1:
            continue
        found += 1
        rows, columns = np.indices(dark.shape)
        middle = np.array([(columns * dark).sum(), (rows * dark).sum()]) / dark.sum() - 47.5
        assert middle @ light.key[:2] < 0
    assert found > 3


def test_a_lamp_behind_the_hand_throws_no_shadow_on_the_wall() -> None:
    light = random_light(np.random.default_rng(1))._replace(key=np.array([0.0, -0.6, 0.8]))
    layer = np.zeros((64, 64, 4), np.float32)
    layer[20:40, 20:40, 3] = 1
    wall = np.ones((64, 64, 3), np.float32)
    for seed in range(8):
        picture = _compose(wall, [layer], np.random.default_rng(seed), light)
        assert (picture[layer[..., 3] == 0] == 1).all()


def test_motion_blur_does_not_wrap_around_the_border() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :4] = 200
    blurred = smeared(image, 8.0, 3.0)
    assert blurred[:, -8:].max() == 0
    assert (blurred[:, 0] == 160).all()  # one of five copies has moved off it


def test_light_has_no_side_where_nothing_is_lit_from_a_side() -> None:
    """A light that is its own mirror image stays as it is."""
    light = random_light(np.random.default_rng(2))
    zero = np.zeros(3)
    plain = Light(zero, zero, zero, zero, np.zeros((3, 4, 4)), light.glossy * 0 + 1, 1.0)
    for one, two in zip(plain, plain.mirrored(), strict=True):
        np.testing.assert_array_equal(one, two)
