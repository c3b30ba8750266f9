"""Things that hide parts of a hand: held in it, or standing between it and the camera."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy.spatial.transform import Rotation

MIN_HELD = 0.004  # metres; what is thinner is not worth holding


class Thing(NamedTuple):
    """A mesh with colours.

    Attributes:
        vertices: metres, camera frame.
        faces: triangles.
        normals, colors: at each face's corners; colours are linear RGB.
        gloss: strength of reflection of each face.
    """

    vertices: Float64[ndarray, "v 3"]
    faces: Int64[ndarray, "f 3"]
    normals: Float64[ndarray, "f 3 3"]
    colors: Float64[ndarray, "f 3 3"]
    gloss: Float64[ndarray, " f"]


NOTHING = Thing(
    np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3, 3)), np.zeros((0, 3, 3)),
    np.zeros(0),
)  # fmt: skip


def join(things: list[Thing]) -> Thing:
    """Several things as one."""
    if not things:
        return NOTHING
    offsets = np.cumsum([0] + [len(thing.vertices) for thing in things[:-1]])
    return Thing(
        np.concatenate([thing.vertices for thing in things]),
        np.concatenate([thing.faces + offset for thing, offset in zip(things, offsets)]),
        np.concatenate([thing.normals for thing in things]),
        np.concatenate([thing.colors for thing in things]),
        np.concatenate([thing.gloss for thing in things]),
    )


def random_color(rng: np.random.Generator) -> Float64[ndarray, "3"]:
    """Linear RGB; grey to strong, dark to light."""
    hue = rng.random(3)
    grey = rng.random()
    strength = rng.beta(1.0, 1.2)
    return 0.03 + 0.8 * (grey * (1 - strength) + hue * strength) ** 1.6


def held_thing(
    rng: np.random.Generator,
    palm: ndarray,
    across: ndarray,
    out: ndarray,
    reach: float,
    skin: Float64[ndarray, "points 3"],
) -> Thing | None:
    """A rod, bottle, ball or box in the hand, as large as fits between palm and fingers.

    It is laid on the palm; where the fingers leave less room than it was to have, it is smaller.

    Args:
        palm: point on the palm, under the fingers' bases, metres.
        across: unit vector along the row of knuckles. out: unit vector out of the palm.
        reach: thickness the hand leaves room for, metres.
        skin: points all over the hand, metres, which the thing stays out of.

    Returns:
        None where there is no room.
    """
    kind = rng.choice(["rod", "bottle", "ball", "box"], p=[0.35, 0.3, 0.15, 0.2])
    radius = reach * rng.uniform(0.7, 1.0)
    if kind == "rod":
        radius = min(radius, rng.uniform(0.005, 0.014))
    tilt = Rotation.from_rotvec(rng.normal(0, 0.25, 3)).as_matrix()
    axes = tilt @ np.stack([across, out, np.cross(across, out)], 1)
    length = {"rod": rng.uniform(0.07, 0.16), "bottle": rng.uniform(0.06, 0.11),
              "ball": radius, "box": rng.uniform(0.05, 0.09)}[kind]  # fmt: skip
    share = rng.uniform(0.6, 1.3) if kind == "box" else rng.uniform(0.75, 1.0)
    centre, radius = _fitted(
        _Form(kind, length, share), radius, axes, palm + across * rng.normal(0, 0.015), out, skin
    )
    if radius < MIN_HELD:
        return None
    if kind == "ball":
        mesh = ball(radius)
    elif kind == "box":
        mesh = box(np.array([length, radius, radius * share]))
    else:
        mesh = tube(radius, radius * share, length)
    return _dress(rng, mesh, axes, centre)


class _Form(NamedTuple):
    """A thing to be held: its kind, half its length, and its far end's or other side's share."""

    kind: str
    length: float
    share: float

    def room(self, points: Float64[ndarray, "*n 3"]) -> Float64[ndarray, "*n"]:
        """Radius at which the thing, lying along x about the origin, would reach a point."""
        if self.kind == "ball":
            return np.linalg.norm(points, axis=-1)
        x, y, z = np.moveaxis(points, -1, 0)
        if self.kind == "box":
            radius = np.maximum(np.abs(y), np.abs(z) / self.share)
        else:
            along = (x / self.length + 1) / 2
            radius = np.hypot(y, z) / (1 + (self.share - 1) * np.clip(along, 0, 1))
        return np.where(np.abs(x) < self.length + 0.002, radius, np.inf)


def _fitted(
    form: _Form, radius: float, axes: ndarray, palm: ndarray, out: ndarray, skin: ndarray
) -> tuple[ndarray, float]:
    """The place nearest to the palm that has room for a radius, else the one with most room."""
    to_tips = np.cross(out, axes[:, 0])
    height, forth = np.meshgrid(np.arange(0.008, 0.07, 0.003), (0.0, 0.012, 0.024), indexing="ij")
    centres = palm + height.reshape(-1, 1) * out + forth.reshape(-1, 1) * to_tips
    local = (skin - palm) @ axes
    room = form.room(local[None] - ((centres - palm) @ axes)[:, None]).min(1)
    enough = room >= radius
    best = int(enough.argmax()) if enough.any() else int(room.argmax())
    return centres[best], min(float(room[best]), radius + 0.003)


def thing_in_front(rng: np.random.Generator, target: ndarray, size: float) -> Thing:
    """A bar, ball or box between the camera and a point of the hand.

    Args:
        target: camera frame, metres; about what is hidden.
        size: half its extent across the line of sight, metres.
    """
    kind = rng.choice(["bar", "ball", "box"])
    nearer = rng.uniform(0.72, 0.9)
    axes = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    size = size * nearer
    if kind == "bar":
        # lies across the image, so that it leaves it on both sides
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle), rng.normal(0, 0.2)])
        along /= np.linalg.norm(along)
        side = np.cross(along, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        axes = np.stack([along, side, np.cross(along, side)], 1)
        mesh = tube(size * 0.7, size * 0.7, 0.5)
    elif kind == "ball":
        mesh = ball(size)
    else:
        mesh = box(size * rng.uniform(0.5, 1.2, 3))
    return _dress(rng, mesh, axes, target * nearer)


def sleeve(
    rng: np.random.Generator,
    tube_vertices: Float64[ndarray, "t 3"],
    faces: Int64[ndarray, "sleeve 3"],
    normals: Float64[ndarray, "t 3"],
) -> Thing:
    """Cloth around the forearm, plain or striped along it."""
    first, second = random_color(rng), random_color(rng)
    ring = np.arange(len(tube_vertices)) // 16
    striped = rng.random() < 0.3
    shade = np.where((ring % 2 == 0) & striped, 1.0, 0.0)[:, None]
    colors = first * (1 - shade) + second * shade
    colors = colors * (1 + 0.12 * rng.standard_normal((len(colors), 1)))
    return Thing(tube_vertices, faces, normals[faces], np.clip(colors, 0.01, 1)[faces],
                 np.full(len(faces), 0.1))  # fmt: skip


def ring(
    rng: np.random.Generator, joints: Float64[ndarray, "21 3"], skin: Float64[ndarray, "778 3"]
) -> Thing | None:
    """A metal band around a finger's first bone.

    Args:
        joints: OpenPose order, metres. skin: the hand's vertices.
    """
    base = int(rng.choice([5, 9, 13, 13, 17]))
    along = joints[base + 1] - joints[base]
    length = float(np.linalg.norm(along))
    along = along / length
    centre = joints[base] + along * length * rng.uniform(0.62, 0.75)
    offset = skin - centre
    height = offset @ along
    across = np.linalg.norm(offset - height[:, None] * along, axis=1)
    near = (np.abs(height) < 0.004) & (across < 0.014)
    if near.sum() < 4:
        return None
    centre = centre + (offset[near] - height[near, None] * along).mean(0)
    radius = float(np.linalg.norm(skin[near] - centre, axis=1).max()) + 0.0002
    side = np.cross(along, [0.31, 0.93, 0.17])
    side /= np.linalg.norm(side)
    axes = np.stack([along, side, np.cross(along, side)], 1)
    vertices, faces, normals = tube(radius, radius, rng.uniform(0.001, 0.0025))
    metal = np.array([[0.75, 0.52, 0.18], [0.6, 0.6, 0.62], [0.05, 0.05, 0.05]])[rng.integers(3)]
    colors = np.broadcast_to(metal * 0.6, (len(faces), 3, 3)).copy()
    return Thing(
        vertices @ axes.T + centre, faces, normals @ axes.T, colors, np.full(len(faces), 6.0)
    )


def _dress(rng: np.random.Generator, mesh: tuple[ndarray, ndarray, ndarray], axes: ndarray,
           centre: ndarray) -> Thing:  # fmt: skip
    """Put a mesh (vertices, faces, normals at corners) in its place and give it colours."""
    vertices, faces, normals = mesh
    color, band_color = random_color(rng), random_color(rng)
    colors = np.broadcast_to(color, (len(faces), 3, 3)).copy()
    if rng.random() < 0.5:  # a band or label
        middle = vertices[faces].mean(1)[:, 0]
        low, high = np.sort(rng.uniform(middle.min(), middle.max(), 2))
        colors[(middle >= low) & (middle <= high)] = band_color
    gloss = np.full(len(faces), rng.choice([0.3, 1.0, 3.0]))
    return Thing(vertices @ axes.T + centre, faces, normals @ axes.T, colors, gloss)


def box(half: Float64[ndarray, "3"]) -> tuple[ndarray, ndarray, ndarray]:
    """Vertices, faces and corner normals of a box of half extents `half`."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([[q[a], q[b], q[c]] for q in quads for a, b, c in ((0, 1, 2), (0, 2, 3))])
    flat = np.repeat([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], 2, 0)
    return signs * half, faces, np.repeat(flat[:, None].astype(float), 3, 1)


def tube(radius: float, other: float, half_length: float) -> tuple[ndarray, ndarray, ndarray]:
    """A closed cylinder or cone along x."""
    around, rings = 24, 9
    angle = np.arange(around) * 2 * np.pi / around
    x = np.linspace(-half_length, half_length, rings)
    r = np.linspace(radius, other, rings)
    circle = np.stack([np.zeros(around), np.cos(angle), np.sin(angle)], 1)
    vertices = (circle[None] * r[:, None, None] + x[:, None, None] * np.array([1.0, 0, 0])).reshape(
        -1, 3
    )
    ends = np.array([[-half_length, 0, 0], [half_length, 0, 0]])
    count = len(vertices)
    faces, normals = [], []
    following = np.roll(np.arange(around), -1)
    for ring in range(rings - 1):
        a, b = ring * around + np.arange(around), ring * around + following
        c, d = a + around, b + around
        faces += [np.stack([a, b, c], 1), np.stack([b, d, c], 1)]
        one, two = circle, circle[following]
        normals += [np.stack([one, two, one], 1), np.stack([two, two, one], 1)]
    for end, ring in ((0, 0), (1, rings - 1)):
        a, b = ring * around + np.arange(around), ring * around + following
        faces.append(np.stack([np.full(around, count + end), a, b], 1))
        cap = np.array([2.0 * end - 1, 0, 0])
        normals.append(np.broadcast_to(cap, (around, 3, 3)))
    return np.concatenate([vertices, ends]), np.concatenate(faces), np.concatenate(normals)


def ball(radius: float) -> tuple[ndarray, ndarray, ndarray]:
    """A sphere."""
    around, rings = 24, 13
    polar = np.linspace(0.02, np.pi - 0.02, rings)
    angle = np.arange(around) * 2 * np.pi / around
    unit = np.stack([
        np.repeat(np.cos(polar), around), np.outer(np.sin(polar), np.cos(angle)).ravel(),
        np.outer(np.sin(polar), np.sin(angle)).ravel(),
    ], 1)  # fmt: skip
    following = np.roll(np.arange(around), -1)
    faces = []
    for ring in range(rings - 1):
        a, b = ring * around + np.arange(around), ring * around + following
        faces += [np.stack([a, b, a + around], 1), np.stack([b, b + around, a + around], 1)]
    stacked = np.concatenate(faces)
    return unit * radius, stacked, unit[stacked]
