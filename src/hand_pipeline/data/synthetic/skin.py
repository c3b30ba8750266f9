"""A person's skin: its tone, and how strongly the texture of a hand shows on it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

# sRGB of skin from light to dark (our choice, after the range of the Monk skin tone scale)
_TONES = np.array(
    [[244, 205, 182], [233, 182, 152], [219, 162, 128], [196, 138, 105], [158, 104, 76],
     [116, 73, 52], [82, 52, 40]]
) / 255.0  # fmt: skip
_PALM = np.array([226, 170, 145]) / 255.0
_NAIL = np.array([232, 178, 165]) / 255.0


class Skin(NamedTuple):
    """A person's skin; colours are linear RGB.

    Attributes:
        back, palm, nail: albedo.
        mottling: how much the tone varies, of the tone.
        redness: how red knuckles, tips and palm are.
        relief: gain on the texture's height.
        gloss: strength of the glossy reflection. shine: its exponent.
    """

    back: Float64[ndarray, "3"]
    palm: Float64[ndarray, "3"]
    nail: Float64[ndarray, "3"]
    mottling: float
    redness: float
    relief: float
    gloss: float
    shine: float


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


def _linear(srgb: ndarray) -> ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
