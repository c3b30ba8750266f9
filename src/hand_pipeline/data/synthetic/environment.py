"""Light and backgrounds from panoramas of real places.

A panorama's two brightest areas become the lamps, which can cast shadows; what is left lights skin
by its irradiance in spherical harmonics of order 2 (Ramamoorthi and Hanrahan, "An efficient
representation for irradiance environment maps", SIGGRAPH 2001) and is mirrored in it through a
panorama blurred with a glossy lobe. The same panorama stands behind the hand.

Frames: x right, y down, z forward, as a camera's. Row 0 of a panorama is straight up, its middle
column lies behind, its first column ahead, and columns run to the right.
"""

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float16, Float32, Float64, UInt8
from numpy import ndarray
from PIL import Image
from scipy.spatial.transform import Rotation

from hand_pipeline.data.synthetic.light import GLOSSY_SIDE, Light, octahedral_directions

ASSETS = files("hand_pipeline.assets") / "environments"
_WHITE = 4.0  # of the mean luminance: what is brighter is white in the pictures
_COARSE = (128, 64)  # width and height at which the light beyond white is kept
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_LOBE = 12.0  # exponent of the mirrored lobe: skin is rough
_LAMP_DEGREES = 15.0  # radius around a bright spot that counts as the lamp


class Lamp(NamedTuple):
    """A bright area: irradiance of a surface that faces it, and its radius (spread), degrees."""

    direction: Float64[ndarray, "3"]
    irradiance: Float64[ndarray, "3"]
    spread: float


class Environment(NamedTuple):
    """A place's light.

    Attributes:
        panorama: radiance, linear RGB, cut off at four times its mean luminance.
        light: all of the radiance, coarsely.
        lamps: the two brightest areas, brightest first.
        irradiance: of the rest, a quadratic form for each channel: E(n) = (n, 1) M (n, 1).
        glossy: the rest, blurred with the mirrored lobe.
    """

    panorama: Float32[ndarray, "h w 3"]
    light: Float32[ndarray, "64 128 3"]
    lamps: tuple[Lamp, Lamp]
    irradiance: Float64[ndarray, "3 4 4"]
    glossy: Float32[ndarray, "16 32 3"]


def encode(
    radiance: Float32[ndarray, "h w 3"],
) -> tuple[UInt8[ndarray, "h w 3"], Float16[ndarray, "64 128 3"]]:
    """A panorama as it is shipped: an sRGB picture, and the light beyond its white, coarsely."""
    luminance = (radiance @ _LUMINANCE * sphere_shares(*radiance.shape[:2])).sum()
    relative = (radiance / luminance).astype(np.float32)
    shown = np.clip(relative, 0, _WHITE)
    beyond = cv2.resize(relative - shown, _COARSE, interpolation=cv2.INTER_AREA)
    part = shown / _WHITE
    srgb = np.where(part <= 0.0031308, 12.92 * part, 1.055 * part ** (1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.uint8), beyond.astype(np.float16)


@cache
def environment_names() -> tuple[str, ...]:
    """The shipped places."""
    return tuple(sorted(i.name[:-4] for i in ASSETS.iterdir() if i.name.endswith(".jpg")))


@cache
def load_environment(name: str) -> Environment:
    """A shipped place, ready to light hands; kept once loaded."""
    with (ASSETS / f"{name}.jpg").open("rb") as file, Image.open(file) as picture:
        shown = np.asarray(picture.convert("RGB"))
    with as_file(ASSETS / "beyond_white.npz") as path, np.load(path, allow_pickle=False) as beyond:
        panorama, light = decode(shown, beyond[name])
    rest, first = without_lamp(light)
    rest, second = without_lamp(rest)
    small = cv2.resize(rest, (64, 32), interpolation=cv2.INTER_AREA)
    lamps = sorted((first, second), key=lambda lamp: -float(lamp.irradiance @ _LUMINANCE))
    return Environment(
        panorama, light, (lamps[0], lamps[1]), irradiance_form(small), _glossy(small)
    )


def decode(
    shown: UInt8[ndarray, "h w 3"], beyond: Float16[ndarray, "64 128 3"]
) -> tuple[Float32[ndarray, "h w 3"], Float32[ndarray, "64 128 3"]]:
    """Undo `encode`: the panorama up to white, and all of its light, coarsely."""
    srgb = np.arange(256) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    panorama = (linear * _WHITE).astype(np.float32)[shown]
    light = cv2.resize(panorama, _COARSE, interpolation=cv2.INTER_AREA) + beyond
    return panorama, light.astype(np.float32)


def directions(height: int, width: int) -> Float64[ndarray, "h w 3"]:
    """Where a panorama's pixels lie."""
    polar = np.pi * (np.arange(height) + 0.5)[:, None] / height
    turn = 2 * np.pi * (np.arange(width) + 0.5)[None] / width
    return np.stack(
        [np.sin(polar) * np.sin(turn), -np.cos(polar) * np.ones_like(turn),
         np.sin(polar) * np.cos(turn)], -1
    )  # fmt: skip


def sphere_shares(height: int, width: int) -> Float64[ndarray, "h w"]:
    """Share of the sphere that each pixel covers."""
    edges = np.cos(np.pi * np.arange(height + 1) / height)
    return np.repeat(-np.diff(edges)[:, None] / (2 * width), width, 1)


def irradiance_form(panorama: Float32[ndarray, "h w 3"]) -> Float64[ndarray, "3 4 4"]:
    """Irradiance of a normal n as (n, 1) M (n, 1), by spherical harmonics of order 2 (eq. 12)."""
    x, y, z = np.moveaxis(directions(*panorama.shape[:2]), -1, 0)
    basis = np.stack([
        np.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y,
        1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ])  # fmt: skip
    solid = 4 * np.pi * sphere_shares(*panorama.shape[:2])
    forms = []
    for channel in range(3):
        l00, l1_1, l10, l11, l2_2, l2_1, l20, l21, l22 = (basis * solid * panorama[..., channel]
                                                          ).sum((1, 2))  # fmt: skip
        c1, c2, c3, c4, c5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
        forms.append([
            [c1 * l22, c1 * l2_2, c1 * l21, c2 * l11],
            [c1 * l2_2, -c1 * l22, c1 * l2_1, c2 * l1_1],
            [c1 * l21, c1 * l2_1, c3 * l20, c2 * l10],
            [c2 * l11, c2 * l1_1, c2 * l10, c4 * l00 - c5 * l20],
        ])  # fmt: skip
    return np.array(forms)


def without_lamp(panorama: Float32[ndarray, "h w 3"]) -> tuple[ndarray, Lamp]:
    """Take the brightest spot down to what surrounds it."""
    height, width = panorama.shape[:2]
    luminance = (panorama @ _LUMINANCE).astype(np.float32)
    blurred = cv2.GaussianBlur(
        np.pad(luminance, ((0, 0), (width // 8,) * 2), mode="wrap"), (0, 0), width / 128
    )[:, width // 8 : -(width // 8)]
    towards = directions(height, width)
    peak = towards[np.unravel_index(int(blurred.argmax()), blurred.shape)]
    angle = np.degrees(np.arccos(np.clip(towards @ peak, -1, 1)))
    near = angle < _LAMP_DEGREES
    level = np.median(luminance[(angle >= _LAMP_DEGREES) & (angle < 1.8 * _LAMP_DEGREES)])
    share = np.where(near, np.clip(1 - level / np.maximum(luminance, 1e-6), 0, 1), 0)
    solid = share * 4 * np.pi * sphere_shares(height, width)
    mass = solid * luminance + 1e-9 * near
    middle = (mass[..., None] * towards).sum((0, 1))
    middle /= np.linalg.norm(middle)
    spread = float(np.sqrt((mass * angle**2).sum() / mass.sum()))
    lamp = Lamp(middle, (solid[..., None] * panorama).sum((0, 1)), spread)
    return panorama * (1 - share[..., None]).astype(np.float32), lamp


def _glossy(panorama: Float32[ndarray, "h w 3"]) -> Float32[ndarray, "16 32 3"]:
    into, of = directions(16, 32).reshape(-1, 3), directions(*panorama.shape[:2]).reshape(-1, 3)
    lobe = np.clip(into @ of.T, 0, None) ** _LOBE * sphere_shares(*panorama.shape[:2]).ravel()
    lobe /= lobe.sum(1, keepdims=True)
    return (lobe @ panorama.reshape(-1, 3)).reshape(16, 32, 3).astype(np.float32)


def random_view(rng: np.random.Generator) -> Float64[ndarray, "3 3"]:
    """A camera in the place: turned anyhow, tilted a little, mostly downwards, roughly upright."""
    turn, tilt, roll = rng.uniform(-180, 180), rng.normal(-12, 22), rng.normal(0, 8)
    return Rotation.from_euler("yxz", [turn, tilt, roll], degrees=True).as_matrix()


def environment_light(
    place: Environment, view: Float64[ndarray, "3 3"], rng: np.random.Generator
) -> Light:
    """The place's light in the camera's frame.

    Args:
        view: camera to place.
    """
    key, fill = place.lamps
    homogeneous = np.eye(4)
    homogeneous[:3, :3] = view
    mirrored = _lookup(place.glossy, octahedral_directions(GLOSSY_SIDE) @ view.T)
    return Light(
        key.direction @ view, key.irradiance / np.pi, fill.direction @ view,
        fill.irradiance / np.pi, homogeneous.T @ place.irradiance @ homogeneous / np.pi,
        mirrored, float(np.clip(0.9 * key.spread * rng.uniform(0.7, 1.4), 1.0, 9.0)),
    )  # fmt: skip


def environment_background(
    place: Environment, view: Float64[ndarray, "3 3"], size: tuple[int, int],
    rng: np.random.Generator,
) -> Float32[ndarray, "h w 3"]:  # fmt: skip
    """What the camera sees of the place, linear RGB; wider than the hand is seen, for detail."""
    height, width = size
    focal = max(size) * rng.uniform(0.45, 1.1)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([x, y, np.full_like(x, focal)], -1)
    seen = _lookup(place.panorama, rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ view.T)
    if rng.random() < 0.5:
        seen = cv2.GaussianBlur(seen, (0, 0), max(size) * rng.uniform(0.002, 0.02))
    return seen * np.float32(2 ** rng.normal(0, 0.4))


def _lookup(
    panorama: Float32[ndarray, "h w 3"], towards: Float[ndarray, "*n 3"]
) -> Float32[ndarray, "*n 3"]:
    height, width = panorama.shape[:2]
    turn = np.arctan2(towards[..., 0], towards[..., 2]) / (2 * np.pi) % 1.0
    column = (turn * width - 0.5).astype(np.float32)
    row = (np.arccos(np.clip(-towards[..., 1], -1, 1)) / np.pi * height - 0.5).astype(np.float32)
    return cv2.remap(
        panorama, column, np.clip(row, 0, height - 1), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
