"""The light of a scene: two lamps, the surroundings, and the shadows of the stronger lamp."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from hand_pipeline.geometry.zbuffer import fill_zbuffer

SHADOW_SIZE = 256
GLOSSY_SIDE = 16


class Light(NamedTuple):
    """Light of a scene; directions point towards it, camera frame; colours are linear RGB.

    Attributes:
        key: direction of the lamp that casts shadows. key_color: what a white surface that faces it
            shows of it.
        fill, fill_color: a second lamp, without shadow.
        ambient: what a white surface of normal n shows of the surroundings is (n, 1) M (n, 1), a
            channel each.
        glossy: the surroundings as rough skin mirrors them, by direction (`octahedral_directions`).
        softness: radius of the shadows' edges, texels of the shadow map.
    """

    key: Float64[ndarray, "3"]
    key_color: Float64[ndarray, "3"]
    fill: Float64[ndarray, "3"]
    fill_color: Float64[ndarray, "3"]
    ambient: Float64[ndarray, "3 4 4"]
    glossy: Float32[ndarray, "g g 3"]
    softness: float

    def mirrored(self) -> "Light":
        """The light of the mirror image (x negated), in which a left hand is a right one."""
        flip = np.array([-1.0, 1.0, 1.0, 1.0])
        return self._replace(
            key=self.key * flip[:3],
            fill=self.fill * flip[:3],
            ambient=self.ambient * flip * flip[:, None],
            glossy=np.ascontiguousarray(self.glossy[:, ::-1]),
        )

    def brightness(self) -> Float64[ndarray, "3"]:
        """What a white surface shows on average."""
        diagonal = np.einsum("cii,i->c", self.ambient, [1 / 3, 1 / 3, 1 / 3, 1])
        return diagonal + (self.key_color + self.fill_color) / 4


def octahedral_directions(side: int) -> Float64[ndarray, "side side 3"]:
    """Directions of a square map of the sphere, rows y, columns x (Praun and Hoppe 2003)."""
    line = (np.arange(side) + 0.5) / side * 2 - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    z = 1 - np.abs(x) - np.abs(y)
    fold = np.clip(-z, 0, None)
    x, y = x - np.copysign(fold, x), y - np.copysign(fold, y)
    return np.stack([x, y, z], -1) / np.sqrt(x * x + y * y + z * z)[..., None]


def random_light(rng: np.random.Generator) -> Light:
    """A key lamp mostly from above and the camera's side, a weak second lamp, surroundings."""
    key = np.array([rng.normal(0, 0.8), -rng.uniform(-0.2, 1.3), -rng.uniform(0.25, 1.2)])
    if rng.random() < 0.12:
        key[2] *= -0.5  # from behind
    fill = np.array([-np.sign(key[0]) * rng.uniform(0.3, 1.2), rng.uniform(-0.8, 0.8), -0.5])
    up = np.array([rng.normal(0, 0.3), -1.0, rng.normal(-0.2, 0.3)])
    contrast = rng.uniform(0.25, 1.0)
    key_color = 1.3 * contrast * _warmth(rng, 0.18)
    fill_color = rng.uniform(0.05, 0.4) * _warmth(rng, 0.15)
    above, below = (
        rng.uniform(*strength) * (1.25 - 0.7 * contrast) * _warmth(rng, spread)
        for strength, spread in (((0.45, 0.8), 0.1), ((0.15, 0.5), 0.15))
    )
    ambient = np.zeros((3, 4, 4))  # from `below` to `above` as the normal turns up
    ambient[:, 3, 3] = (above + below) / 2
    ambient[:, 3, :3] = ambient[:, :3, 3] = np.outer(above - below, up / np.linalg.norm(up)) / 4
    towards = octahedral_directions(GLOSSY_SIDE) @ (up / np.linalg.norm(up))
    share = 0.5 + 0.5 * np.clip(1.6 * towards, -1, 1)[..., None]
    return Light(
        key / np.linalg.norm(key), key_color, fill / np.linalg.norm(fill), fill_color, ambient,
        (below + (above - below) * share).astype(np.float32), rng.uniform(1.0, 9.0),
    )  # fmt: skip


def _warmth(rng: np.random.Generator, spread: float) -> Float[ndarray, "3"]:
    warm = rng.normal(0.3, 1.0) * spread
    return np.array([1 + 0.6 * warm, 1 + rng.normal(0, 0.02), 1 - warm])


class Shadow(NamedTuple):
    """What the lamp sees.

    Attributes:
        depth: from the lamp, metres; infinity where nothing is.
        rotation, place: lamp frame = rotation @ (point - place).
        focal: pixels.
    """

    depth: Float32[ndarray, "s s"]
    rotation: Float64[ndarray, "3 3"]
    place: Float64[ndarray, "3"]
    focal: float


def cast_shadow(
    vertices: Float64[ndarray, "v 3"], faces: Int64[ndarray, "f 3"], light: Light
) -> Shadow:
    """Draw everything from the lamp's place, half a metre or more away."""
    low, high = vertices.min(0), vertices.max(0)
    centre = (low + high) / 2
    radius = min(float(np.linalg.norm(high - low)) / 2, 0.25)
    distance = 3.0 * radius + 0.3
    place = centre + distance * light.key
    forward = -light.key
    side = np.cross(forward, [0.31, 0.93, 0.17])
    side /= np.linalg.norm(side)
    rotation = np.stack([side, np.cross(forward, side), forward])
    local = (vertices - place) @ rotation.T
    focal = 0.5 * SHADOW_SIZE * (distance - radius) / radius
    points = local[:, :2] / np.maximum(local[:, 2:], 1e-3) * focal + SHADOW_SIZE / 2
    depth = np.full((SHADOW_SIZE, SHADOW_SIZE), np.inf, np.float32)
    unused = np.full((SHADOW_SIZE, SHADOW_SIZE), -1, np.int32)
    fill_zbuffer(points, np.ascontiguousarray(local[:, 2]), faces, 1e-3, 1e-9, unused, depth)
    return Shadow(depth, rotation, place, focal)
