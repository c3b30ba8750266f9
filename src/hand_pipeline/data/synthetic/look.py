"""How a synthetic picture looks: skin, lamps, sleeves, and what a camera does to it."""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter

from hand_pipeline.data.synthetic.light import Light, Skin
from hand_pipeline.data.synthetic.surface import RINGS, Arm

# sRGB of skin from light to dark (our choice, after the range of the Monk skin tone scale)
_TONES = np.array(
    [[244, 205, 182], [233, 182, 152], [219, 162, 128], [196, 138, 105], [158, 104, 76],
     [116, 73, 52], [82, 52, 40]]
) / 255.0  # fmt: skip
_PALM = np.array([226, 170, 145]) / 255.0
_NAIL = np.array([232, 178, 165]) / 255.0
_LEVELS = 4096


def _linear(srgb: ndarray) -> ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _tone_curve() -> UInt8[ndarray, " levels"]:
    """From linear light, up to 4 of white, to what is stored: a soft shoulder, then sRGB."""
    light = np.linspace(0, 4, _LEVELS)
    shown = 1 - np.exp(-1.6 * light)
    srgb = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.uint8)


_CURVE = _tone_curve()


def random_skin(rng: np.random.Generator) -> Skin:
    """A person's skin."""
    dark = rng.beta(1.1, 1.5) * (len(_TONES) - 1)
    index = min(int(dark), len(_TONES) - 2)
    tone = _TONES[index] + (dark - index) * (_TONES[index + 1] - _TONES[index])
    tone = np.clip(tone * (1 + rng.normal(0, 0.03) + rng.normal(0, 0.015, 3)), 0.05, 0.98)
    depth = dark / (len(_TONES) - 1)
    palm = tone * (0.75 - 0.35 * depth) + _PALM * (0.25 + 0.35 * depth) + 0.02
    nail = tone * 0.45 + _NAIL * 0.55
    if rng.random() < 0.08:
        nail = rng.random(3) * 0.8 + 0.1  # varnish
    return Skin(
        _linear(tone), _linear(np.clip(palm, 0, 1)), _linear(np.clip(nail, 0, 1)),
        rng.uniform(0.12, 0.38), rng.uniform(0.3, 0.8) * (1 - 0.5 * depth),
        rng.uniform(0.5, 1.3), rng.uniform(0.3, 1.4), rng.uniform(10, 45),
    )  # fmt: skip


def random_light(rng: np.random.Generator) -> Light:
    """A key lamp mostly from above and the camera's side, a weak second lamp, surroundings."""
    key = np.array([rng.normal(0, 0.8), -rng.uniform(-0.2, 1.3), -rng.uniform(0.25, 1.2)])
    if rng.random() < 0.12:
        key[2] *= -0.5  # from behind
    fill = np.array([-np.sign(key[0]) * rng.uniform(0.3, 1.2), rng.uniform(-0.8, 0.8), -0.5])
    up = np.array([rng.normal(0, 0.3), -1.0, rng.normal(-0.2, 0.3)])
    contrast = rng.uniform(0.25, 1.0)
    return Light(
        key / np.linalg.norm(key), 1.3 * contrast * _warmth(rng, 0.18),
        fill / np.linalg.norm(fill), rng.uniform(0.05, 0.4) * _warmth(rng, 0.15),
        up / np.linalg.norm(up),
        rng.uniform(0.45, 0.8) * (1.25 - 0.7 * contrast) * _warmth(rng, 0.1),
        rng.uniform(0.15, 0.5) * (1.25 - 0.7 * contrast) * _warmth(rng, 0.15),
        rng.uniform(1.0, 9.0),
    )  # fmt: skip


def _warmth(rng: np.random.Generator, spread: float) -> Float[ndarray, "3"]:
    warm = rng.normal(0.3, 1.0) * spread
    return np.array([1 + 0.6 * warm, 1 + rng.normal(0, 0.02), 1 - warm])


def random_arm(rng: np.random.Generator) -> Arm:
    """How the forearm goes on: bent at the wrist, bare or in a sleeve."""
    sleeve = int(rng.triangular(0, 3, 9)) if rng.random() < 0.5 else len(RINGS)
    bend = (
        float(np.clip(rng.normal(0, 0.3), -0.7, 0.7)),
        float(np.clip(rng.normal(0, 0.15), -0.35, 0.35)),
    )
    return Arm(bend, rng.uniform(1.15, 1.55), sleeve, rng.uniform(1.1, 1.3))


def compose(
    background: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
) -> Float32[ndarray, "h w 3"]:
    """Premultiplied layers over the background, on which they may throw a soft shadow."""
    picture = background
    for layer in layers:
        alpha = layer[..., 3:]
        if rng.random() < 0.45:
            picture = picture * (1 - _contact_shadow(alpha[..., 0], rng))[..., None]
        picture = picture * (1 - alpha) + layer[..., :3]
    return picture


def _contact_shadow(alpha: ndarray, rng: np.random.Generator) -> Float32[ndarray, "h w"]:
    height, width = alpha.shape
    distance = rng.uniform(0.01, 0.09) * max(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    radius = max(2, int(distance * rng.uniform(0.4, 1.0)) // 2)
    small = alpha[::2, ::2]
    for _ in range(2):
        small = uniform_filter(small, radius, mode="nearest")
    dy, dx = int(distance * np.sin(angle)) // 2, int(distance * np.cos(angle)) // 2
    padded = np.pad(small, ((abs(dy),) * 2, (abs(dx),) * 2), mode="edge")
    moved = padded[abs(dy) - dy : abs(dy) - dy + small.shape[0], abs(dx) - dx :][
        :, : small.shape[1]
    ]
    large = np.repeat(np.repeat(moved, 2, 0), 2, 1)[:height, :width]
    return (large * rng.uniform(0.2, 0.65)).astype(np.float32)


def develop(
    picture: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
) -> UInt8[ndarray, "h w 3"]:
    """Exposure, colour cast, tone curve, blur and noise of a camera.

    Args:
        layers: what the camera meters on, as much as on the whole picture.
    """
    light = sum(float(layer[..., :3].sum()) for layer in layers) / 3
    covered = sum(float(layer[..., 3].sum()) for layer in layers)
    mean = float(np.sqrt(picture.mean() * max(light, 1.0) / max(covered, 1.0)))
    gain = (0.24 / max(mean, 1e-3)) ** 0.8 * 2 ** rng.normal(0, 0.35)
    cast = gain * (1 + rng.normal(0, 0.035, 3))
    level = np.minimum(picture * (cast * (_LEVELS - 1) / 4).astype(np.float32), _LEVELS - 1)
    shown = _CURVE[level.astype(np.int16)]
    size = max(shown.shape[:2])
    if rng.random() < 0.4:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 1.1) * size / 224)
        shown = np.asarray(Image.fromarray(shown).filter(blur))
    if rng.random() < 0.12:
        shown = _motion_blur(shown, rng)
    if rng.random() < 0.8:
        strength = np.float32(rng.uniform(0.5, 5.0))
        noise = rng.standard_normal(shown.shape, dtype=np.float32)
        shown = np.clip(shown + noise * strength, 0, 255).astype(np.uint8)
    return shown


def _motion_blur(shown: ndarray, rng: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    angle, length = rng.uniform(0, np.pi), rng.uniform(1, 4) * max(shown.shape[:2]) / 224
    total = np.zeros(shown.shape, np.float32)
    steps = 5
    for step in np.linspace(-0.5, 0.5, steps):
        dx, dy = round(step * length * np.cos(angle)), round(step * length * np.sin(angle))
        total += np.roll(shown, (dy, dx), (0, 1))
    return (total / steps).astype(np.uint8)
