"""The texture of a hand: its creases, knuckles, tendons, veins and nails.

It is a small grid of texels for every face of the drawn surface (mesh colours, Yuksel et al. 2010,
in the simplest form), because MANO's licensed UV map does not come with an open hand. All of it
follows from where a point lies in the rest pose: distances to joints, nails and lines drawn on the
palm.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy import ndarray

from hand_pipeline.data.synthetic.surface import Surface, normals_of
from hand_pipeline.geometry.zbuffer import compiled

TEXELS = 13  # along each side of a face: about 0.7 mm apart


class Anatomy(NamedTuple):
    """Where things are on the rest hand.

    Attributes:
        joints: MANO's 16 joints, metres.
        tips: fingertips, index, middle, pinky, ring, thumb.
        nails: centre, normal, half length, half width; same order of fingers; may have no rows.
    """

    joints: Float64[ndarray, "16 3"]
    tips: Float64[ndarray, "5 3"]
    nails: Float64[ndarray, "nails 4 3"]


class Canvas(NamedTuple):
    """What is the same on every hand, at the texels that count.

    Attributes:
        used: which texels of a face's grid those are: inside the face, or needed to interpolate.
        points: where they lie on the rest hand, metres.
        palm, nail, rim, crease, red, tendon, back: shares, 0 to about 1.
    """

    used: Bool[ndarray, " grid"]
    points: Float64[ndarray, "n 3"]
    palm: Float64[ndarray, " n"]
    nail: Float64[ndarray, " n"]
    rim: Float64[ndarray, " n"]
    crease: Float64[ndarray, " n"]
    red: Float64[ndarray, " n"]
    tendon: Float64[ndarray, " n"]
    back: Float64[ndarray, " n"]


def prepare(surface: Surface, anatomy: Anatomy) -> Canvas:
    """Draw what does not change from hand to hand."""
    u, v = np.meshgrid(*[np.linspace(0, 1, TEXELS)] * 2, indexing="ij")
    used = (u + v < 1 + 1.5 / (TEXELS - 1)).ravel()
    weights = np.stack([1 - u - v, u, v], -1).reshape(-1, 3)[used]
    points = (weights @ surface.rest[surface.faces]).reshape(-1, 3)
    normal = (weights @ normals_of(surface.rest, surface.faces)[surface.faces]).reshape(-1, 3)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    noise = [value_noise(points * frequency, -1) - 0.5 for frequency in (90.0, 200.0, 420.0)]

    on_arm = _smooth(points[:, 0], anatomy.joints[0, 0] - 0.005, anatomy.joints[0, 0] + 0.03)
    palm = _smooth(-normal[:, 1] + 0.35 * noise[0], -0.15, 0.65) * (1 - 0.75 * on_arm)
    crease = _finger_creases(points, normal, anatomy, noise[2]) + _palm_lines(points, normal, noise)
    knuckle, tendon = _knuckles(points, normal, anatomy)
    nail, rim = _nails(points, normal, anatomy)
    distance = np.min([np.linalg.norm(points - tip, axis=1) for tip in anatomy.tips], axis=0)
    red = 0.55 * np.exp(-((distance / 0.011) ** 2)) * (1 - nail) + 0.5 * knuckle
    back = np.clip(normal[:, 1] * 1.5, 0, 1) * (1 - _smooth(-points[:, 0], -0.005, 0.03))
    return Canvas(used, points, palm, nail, rim, np.clip(crease, 0, 1.2), red, tendon, back)


def paint(canvas: Canvas, seed: int) -> Float32[ndarray, "faces t t 6"]:
    """A texture for every face; texel (i, j) lies at barycentric (1 - u - v, u, v), u = i/(T-1).

    Channels: share of palm skin, of nail, mottling (-.5 to .5), redness (negative: vein), crease
    (0 to 1), height in metres.

    Args:
        seed: of the mottling, veins and fine relief.
    """
    noise = [value_noise(canvas.points * frequency, seed * 16 + i) - 0.5
             for i, frequency in enumerate((35.0, 90.0, 200.0, 420.0, 800.0))]  # fmt: skip
    kind = np.random.default_rng(seed).random(3)  # how veined, freckled and hairy this skin is
    vein = _veins(canvas.points, seed) * canvas.back * (0.3 + 1.2 * kind[0])
    red = canvas.red + 0.35 * canvas.palm * (noise[1] + noise[0]) - 0.5 * vein
    fine = (0.16 + 0.1 * canvas.palm) * noise[2] + 0.10 * noise[3] + 0.08 * noise[4]
    skin = 0.30 * noise[1] + fine - 0.45 * canvas.crease + 0.5 * canvas.tendon + 0.35 * vein
    height = 1e-3 * (skin * (1 - canvas.nail) + 0.25 * canvas.nail - 0.25 * canvas.rim)
    mottle = 0.55 * noise[0] + 0.6 * noise[1] + 0.45 * noise[2] + 0.4 * noise[3]
    hair = _hairs(canvas, seed) * np.clip(2.0 * kind[2] - 1.0, 0, 1)
    crease = np.clip(canvas.crease + 0.5 * canvas.rim + 0.45 * hair, 0, 1.2)
    spots = value_noise(canvas.points * 330.0, seed * 16 + 7) > 0.80
    mottle -= np.clip(2.5 * kind[1] - 1.2, 0, 1) * 0.9 * spots * canvas.back
    channels = np.stack([canvas.palm, canvas.nail, mottle, red, crease, height], -1)
    faces = len(canvas.points) // canvas.used.sum()
    texture = np.zeros((faces, TEXELS * TEXELS, channels.shape[-1]), np.float32)
    texture[:, canvas.used] = channels.reshape(faces, -1, channels.shape[-1])
    return texture.reshape(faces, TEXELS, TEXELS, -1)


def _smooth(x: ndarray, low: float, high: float) -> ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _line(distance: ndarray, width: float) -> ndarray:
    return np.exp(-((distance / width) ** 2))


def _finger_creases(
    points: Float[ndarray, "n 3"], normal: ndarray, anatomy: Anatomy, noise: ndarray
) -> Float[ndarray, " n"]:
    """Flexion lines on the palm side of each joint, wrinkles over the knuckles on the other."""
    total = np.zeros(len(points))
    below = _smooth(-normal[:, 1], 0.0, 0.5)
    above = _smooth(normal[:, 1], 0.1, 0.6)
    for joint in range(1, 16):
        if joint == 13:
            continue
        child = anatomy.tips[(joint - 1) // 3] if joint % 3 == 0 else anatomy.joints[joint + 1]
        along = child - anatomy.joints[joint]
        along /= np.linalg.norm(along)
        close = ((points - anatomy.joints[joint]) ** 2).sum(1) < 0.03**2
        offset = points[close] - anatomy.joints[joint]
        position = offset @ along + 0.0008 * noise[close]
        across = np.linalg.norm(offset - (offset @ along)[:, None] * along, axis=1)
        if joint >= 14:  # the thumb's back looks sideways
            side = (
                np.cross(along, np.cross(anatomy.nails[4, 1], along)) if len(anatomy.nails) else 0
            )
            facing = normal[close] @ np.broadcast_to(side, 3)
            under, over = _smooth(-facing, 0.0, 0.5), _smooth(facing, 0.1, 0.6)
        else:
            under, over = below[close], above[close]
        first = joint % 3 == 1
        near = _smooth(-across, -0.02, -0.014)
        lines = [(0.017, 1.0)] if first else [(-0.0011, 0.9), (0.0013, 0.7)]
        if joint % 3 == 0:
            lines = [(0.0, 0.9)]
        for place, depth in lines:
            total[close] += depth * near * under * _line(position - place, 0.0007)
        if not first:
            for place, depth in (
                (-0.0042, 0.35),
                (-0.0022, 0.6),
                (0, 0.7),
                (0.0022, 0.6),
                (0.0042, 0.3),
            ):
                bent = position - place * (1 + 8 * across)
                total[close] += depth * near * over * _line(bent, 0.0006)
    return total


def _palm_lines(
    points: Float[ndarray, "n 3"], normal: ndarray, noise: list[ndarray]
) -> Float[ndarray, " n"]:
    """Heart, head and life line and the wrist's lines, as quadratic curves in the palm's plane."""
    whole = np.zeros(len(points))
    on_palm = (normal[:, 1] < -0.2) & (points[:, 0] > -0.005) & (points[:, 0] < 0.12)
    under = _smooth(-normal[on_palm, 1], 0.2, 0.6)
    flat = (points[:, [0, 2]] + 0.0012 * np.stack([noise[1], noise[0]], 1))[on_palm]
    curves = (
        (((0.016, 0.044), (0.030, 0.006), (0.086, 0.010)), 0.9, 0.0009),  # life
        (((0.015, 0.042), (0.028, 0.012), (0.055, -0.020)), 0.8, 0.0008),  # head
        (((0.034, -0.036), (0.022, -0.006), (0.002, 0.016)), 0.8, 0.0008),  # heart
        (((0.100, -0.016), (0.103, 0.006), (0.100, 0.030)), 0.7, 0.0008),  # wrist
        (((0.106, -0.015), (0.110, 0.006), (0.106, 0.031)), 0.4, 0.0007),
        (((0.075, 0.000), (0.050, 0.004), (0.012, 0.004)), 0.3, 0.0006),
    )
    total = np.zeros(len(flat))
    t = np.linspace(0, 1, 40)[:, None]
    for (a, b, c), depth, width in curves:
        curve = (1 - t) ** 2 * np.array(a) + 2 * t * (1 - t) * np.array(b) + t**2 * np.array(c)
        nearest = np.full(len(flat), np.inf)
        for place in curve:
            nearest = np.minimum(nearest, ((flat - place) ** 2).sum(1))
        # between samples of the curve, some 1.5 mm apart, the distance is a little too large
        total += depth * under * _line(np.sqrt(np.maximum(nearest - 0.0005**2, 0)), width)
    whole[on_palm] = total
    return whole


def _knuckles(
    points: Float[ndarray, "n 3"], normal: ndarray, anatomy: Anatomy
) -> tuple[ndarray, ndarray]:
    """Redness over the knuckles, and the ridges of tendons from there to the wrist."""
    above = _smooth(normal[:, 1], 0.1, 0.7)
    red, tendon = np.zeros(len(points)), np.zeros(len(points))
    wrist = anatomy.joints[0]
    for joint in (1, 2, 4, 5, 7, 8, 10, 11):
        red += np.exp(-((np.linalg.norm(points - anatomy.joints[joint], axis=1) / 0.015) ** 4))
        if joint % 3 != 1:
            continue
        start, end = anatomy.joints[joint][[0, 2]], wrist[[0, 2]]
        along = end - start
        offset = points[:, [0, 2]] - start
        t = np.clip(offset @ along / (along @ along), 0, 1)
        across = np.linalg.norm(offset - t[:, None] * along, axis=1)
        tendon += _line(across, 0.0028) * _smooth(t, 0.02, 0.12) * (1 - _smooth(t, 0.55, 0.95))
    return np.clip(red, 0, 1) * above, tendon * above


def _nails(
    points: Float[ndarray, "n 3"], normal: ndarray, anatomy: Anatomy
) -> tuple[ndarray, ndarray]:
    """Share of nail, and the groove around it."""
    nail, rim = np.zeros(len(points)), np.zeros(len(points))
    for centre, up, length, width in anatomy.nails:
        offset = points - centre
        long, wide = np.linalg.norm(length), np.linalg.norm(width)
        x, y = offset @ length / (long**2 * 1.1), offset @ width / (wide**2 * 1.05)
        radius = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6) ** (1 / 2.6)
        facing = _smooth(normal @ (up / np.linalg.norm(up)), 0.1, 0.4)
        close = np.linalg.norm(offset, axis=1) < 0.02
        nail += (1 - _smooth(radius, 0.9, 1.05)) * facing * close
        rim += _line(radius - 1.08, 0.12) * facing * close
    return np.clip(nail, 0, 1), np.clip(rim, 0, 1)


def _veins(points: Float[ndarray, "n 3"], seed: int) -> Float[ndarray, " n"]:
    """Branching ridges: where a slow noise crosses its middle."""
    stretched = points * np.array([28.0, 60.0, 55.0])
    wave = value_noise(stretched + 0.4 * value_noise(points * 150, seed + 991)[:, None], seed + 990)
    return _line(wave - 0.5, 0.035)


def _hairs(canvas: Canvas, seed: int) -> Float[ndarray, " n"]:
    """Fine dark strands along the back of forearm and hand."""
    along = np.array([70.0, 700.0, 700.0]) / 1.6
    bent = canvas.points + 0.004 * value_noise(canvas.points * 60.0, seed + 5)[:, None]
    strand = _smooth(value_noise(bent * along, seed + 77), 0.74, 0.86)
    return strand * canvas.back * _smooth(canvas.points[:, 0], 0.02, 0.1)


@compiled
def value_noise(points: ndarray, seed: int) -> ndarray:
    """Smooth noise in 0 to 1 with a period of about one unit, at (n, 3) points."""
    out = np.empty(points.shape[0])
    for n in range(points.shape[0]):
        ix, iy, iz = np.floor(points[n, 0]), np.floor(points[n, 1]), np.floor(points[n, 2])
        fx, fy, fz = points[n, 0] - ix, points[n, 1] - iy, points[n, 2] - iz
        fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
        total = 0.0
        for corner in range(8):
            cx, cy, cz = corner & 1, (corner >> 1) & 1, corner >> 2
            h = (int(ix) + cx) * 374761393 + (int(iy) + cy) * 668265263
            h = (h + (int(iz) + cz) * 2147483647 + seed * 1274126177) & 0xFFFFFFFF
            h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
            h = (h ^ (h >> 16)) & 0xFFFF
            weight = (fx if cx else 1 - fx) * (fy if cy else 1 - fy) * (fz if cz else 1 - fz)
            total += weight * h / 65535.0
        out[n] = total
    return out
