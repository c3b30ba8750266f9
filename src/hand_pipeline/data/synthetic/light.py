"""What a picture's shading needs: skin, lamps, the lamp's shadows, the surface to be drawn."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from hand_pipeline.geometry.zbuffer import fill_zbuffer

SHADOW_SIZE = 256


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


class Light(NamedTuple):
    """Lamps of a scene; directions point towards them, camera frame; colours are linear RGB.

    Attributes:
        key: direction of the lamp that casts shadows. key_color: its strength.
        fill, fill_color: a second lamp, without shadow.
        up: direction of the brighter half of the surroundings. above, below: their light.
        softness: radius of the shadows' edges, texels of the shadow map.
    """

    key: Float64[ndarray, "3"]
    key_color: Float64[ndarray, "3"]
    fill: Float64[ndarray, "3"]
    fill_color: Float64[ndarray, "3"]
    up: Float64[ndarray, "3"]
    above: Float64[ndarray, "3"]
    below: Float64[ndarray, "3"]
    softness: float


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


class Drawn(NamedTuple):
    """Everything that is drawn in one image; skin's split faces come first, then things.

    Attributes:
        points, depths: of all vertices, supersampled pixels and metres.
        faces: of all split faces and things.
        skin_faces: how many are skin. hand_faces: how many belong to MANO's mesh.
        base_faces, normals: skin before splitting. slopes: dual basis of its triangles' sides.
        corners: barycentric coordinates of the vertices a face is split into.
        thing_normals, thing_colors: at the corners of things' faces. thing_gloss: of each face.
    """

    points: Float64[ndarray, "v 2"]
    depths: Float64[ndarray, " v"]
    faces: Int64[ndarray, "f 3"]
    skin_faces: int
    hand_faces: int
    base_faces: Int64[ndarray, "b 3"]
    normals: Float64[ndarray, "n 3"]
    slopes: Float64[ndarray, "b 2 3"]
    corners: Float64[ndarray, "c 3"]
    thing_normals: Float64[ndarray, "t 3 3"]
    thing_colors: Float64[ndarray, "t 3 3"]
    thing_gloss: Float64[ndarray, " t"]


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


def slopes_of(vertices: Float64[ndarray, "n 3"], faces: Int64[ndarray, "b 3"]) -> ndarray:
    """Dual basis (b, 2, 3) of each triangle's two sides: turns texel slopes into a gradient."""
    one = vertices[faces[:, 1]] - vertices[faces[:, 0]]
    two = vertices[faces[:, 2]] - vertices[faces[:, 0]]
    a, b, c = (one * one).sum(1), (one * two).sum(1), (two * two).sum(1)
    scale = 1 / np.maximum(a * c - b * b, 1e-20)
    first = (c[:, None] * one - b[:, None] * two) * scale[:, None]
    second = (a[:, None] * two - b[:, None] * one) * scale[:, None]
    return np.stack([first, second], 1)
