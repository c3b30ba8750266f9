"""Light on skin and things, pixel by pixel, as machine code.

Linear light throughout. Skin: diffuse light that wraps around, red furthest (a cheap stand-in for
light scattered below the surface), a glossy layer with Fresnel, relief from the texture's height,
soft shadows of one lamp from a shadow map, and the surroundings' light, diffuse and mirrored,
dimmed in corners by screen-space ambient occlusion.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from numpy import ndarray

from hand_pipeline.data.synthetic.light import Light, Shadow
from hand_pipeline.data.synthetic.skin import Skin
from hand_pipeline.data.synthetic.surface import SPLITS
from hand_pipeline.geometry.zbuffer import compiled

_SPLITS_SQUARED = SPLITS * SPLITS  # faces that one face is split into
_CORNERS = (SPLITS + 1) * (SPLITS + 2) // 2  # vertices of a split face
_LOOKS, _TURNS = 5, 32  # directions looked into from each subpixel; different sets of them
_REACH = 0.016  # metres around a point within which something dims the surroundings' light

Vector = tuple[float, float, float]
Weights = tuple[float, float, float, float]
Met = tuple[float, float, float, float, float, float, float]
"""What a point meets: share of open surroundings, share of the lamp, cosines to lamp and second
lamp, the glossy part of both lamps and of the surroundings."""


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


class View(NamedTuple):
    """What each supersampled pixel sees, and the camera that it is seen by.

    Attributes:
        face_index, zbuffer: the nearest face, -1 if there is none, and its depth.
        focal, cx, cy: pinhole camera, supersampled pixels.
        supersampling: pixels a side that one pixel of the image is made of.
    """

    face_index: Int32[ndarray, "h w"]
    zbuffer: Float32[ndarray, "h w"]
    focal: float
    cx: float
    cy: float
    supersampling: int


def slopes_of(vertices: Float64[ndarray, "n 3"], faces: Int64[ndarray, "b 3"]) -> ndarray:
    """Dual basis (b, 2, 3) of each triangle's two sides: turns texel slopes into a gradient."""
    one = vertices[faces[:, 1]] - vertices[faces[:, 0]]
    two = vertices[faces[:, 2]] - vertices[faces[:, 0]]
    a, b, c = (one * one).sum(1), (one * two).sum(1), (two * two).sum(1)
    scale = 1 / np.maximum(a * c - b * b, 1e-20)
    first = (c[:, None] * one - b[:, None] * two) * scale[:, None]
    second = (a[:, None] * two - b[:, None] * one) * scale[:, None]
    return np.stack([first, second], 1)


def _disc() -> Float64[ndarray, "turns looks 2"]:
    """Spirals over the unit disc, turned and stretched so that neighbouring sets interleave."""
    turn, look = np.meshgrid(np.arange(_TURNS), np.arange(_LOOKS), indexing="ij")
    radius = np.sqrt((look + (turn * 0.618 + 0.31) % 1.0) / _LOOKS)
    angle = 2.3999632 * look + 2 * np.pi * ((turn * 0.7548777) % 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


_DISC = _disc()


@compiled
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = np.sqrt(x * x + y * y + z * z) + 1e-12
    return x / length, y / length, z / length


@compiled
def _occlusion(
    view: View, row: int, column: int, turn: int, point: Vector, normal: Vector
) -> float:
    """Share of the surroundings that nothing nearby hides, from a few pixels around."""
    zbuffer, focal, cx, cy = view.zbuffer, view.focal, view.cx, view.cy
    px, py, pz = point
    nx, ny, nz = normal
    height, width = zbuffer.shape
    radius = _REACH * focal / pz
    total = 0.0
    for look in range(_LOOKS):
        x = int(column + 0.5 + radius * _DISC[turn, look, 0])
        y = int(row + 0.5 + radius * _DISC[turn, look, 1])
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        z = float(zbuffer[y, x])
        if z > 10.0:
            continue
        vx, vy, vz = (x + 0.5 - cx) * z / focal - px, (y + 0.5 - cy) * z / focal - py, z - pz
        square = vx * vx + vy * vy + vz * vz + 1e-12
        cosine = (vx * nx + vy * ny + vz * nz) / np.sqrt(square)
        if cosine > 0.12:
            total += (cosine - 0.12) / (1.0 + square * (0.6 / (_REACH * _REACH)))
    return 1.0 - min(0.85, total * (2.2 / _LOOKS))


@compiled
def _lit(shadow: Shadow, softness: float, turn: int, x: float, y: float, z: float) -> float:
    """Share of the lamp that reaches a point, from a few looks into the shadow map."""
    dx, dy, dz = x - shadow.place[0], y - shadow.place[1], z - shadow.place[2]
    m, size = shadow.rotation, shadow.depth.shape[0]
    u = m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz
    v = m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz
    w = m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz
    scale = shadow.focal / w
    u, v = u * scale + size / 2, v * scale + size / 2
    margin = 0.0025 + 0.0004 * softness
    reached = 0.0
    for look in range(_LOOKS):
        column = int(u + softness * _DISC[turn, look, 0])
        row = int(v + softness * _DISC[turn, look, 1])
        outside = column < 0 or row < 0 or column >= size or row >= size
        if outside or shadow.depth[row, column] > w - margin:
            reached += 1.0
    return reached / _LOOKS


@compiled
def _wrapped(cosine: float, wrap: float) -> float:
    return max(0.0, (cosine + wrap) / (1.0 + wrap))


@compiled
def _ambient(form: ndarray, x: float, y: float, z: float) -> float:
    """(n, 1) M (n, 1) of a symmetric M, not below zero."""
    square = form[0, 0] * x * x + form[1, 1] * y * y + form[2, 2] * z * z + form[3, 3]
    mixed = form[0, 1] * x * y + form[0, 2] * x * z + form[1, 2] * y * z
    return max(0.0, square + 2.0 * (mixed + form[0, 3] * x + form[1, 3] * y + form[2, 3] * z))


@compiled
def _mirrored(view: Vector, normal: Vector, side: int) -> tuple[int, int]:
    """Texel of the octahedral map that a point mirrors."""
    vx, vy, vz = view
    nx, ny, nz = normal
    twice = 2.0 * (vx * nx + vy * ny + vz * nz)
    x, y, z = twice * nx - vx, twice * ny - vy, twice * nz - vz
    total = abs(x) + abs(y) + abs(z) + 1e-12
    x, y, z = x / total, y / total, z / total
    if z < 0.0:
        x, y = (1.0 - abs(y)) * np.copysign(1.0, x), (1.0 - abs(x)) * np.copysign(1.0, y)
    row, column = int((y + 1.0) * 0.5 * side), int((x + 1.0) * 0.5 * side)
    return min(max(row, 0), side - 1), min(max(column, 0), side - 1)


@compiled
def _radiance(
    light: Light, channel: int, albedo: float, scatter: float, met: Met,
    normal: Vector, texel: tuple[int, int],
) -> float:  # fmt: skip
    open_, reached, key, fill, glossy, fill_glossy, sheen = met
    ambient = _ambient(light.ambient[channel], normal[0], normal[1], normal[2])
    # light that bounces between folds of the skin takes its colour
    dimmed = open_ + (1.0 - open_) * open_ * albedo
    soft = reached + (1.0 - reached) * reached * scatter
    diffuse = light.key_color[channel] * _wrapped(key, scatter) * soft
    diffuse += light.fill_color[channel] * _wrapped(fill, scatter) * (0.4 + 0.6 * open_)
    shine = glossy * light.key_color[channel] * reached + fill_glossy * light.fill_color[channel]
    shine += sheen * light.glossy[texel[0], texel[1], channel]
    return albedo * (diffuse + ambient * dimmed) + shine


@compiled
def _lobe(towards: Vector, normal: Vector, lamp: ndarray, cosine: float, shine: float) -> float:
    """Glossy reflection of a lamp (Blinn and Phong, with Schlick's Fresnel term)."""
    vx, vy, vz = towards
    bx, by, bz = normal
    if cosine <= 0.0:
        return 0.0
    hx, hy, hz = _unit(vx + lamp[0], vy + lamp[1], vz + lamp[2])
    facing = bx * hx + by * hy + bz * hz
    if facing < 0.8:
        return 0.0
    away = 1.0 - max(0.0, hx * vx + hy * vy + hz * vz)
    fresnel = 0.05 + 0.6 * away * away * away * away * away
    return fresnel * facing**shine * ((shine + 8.0) / 25.0) * min(1.0, 4.0 * cosine)


@compiled
def _scrambled(row: int, column: int) -> int:
    h = (row * 374761393 + column * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return (h ^ (h >> 16)) & 0xFFFF


@compiled
def _weights(
    points: ndarray, depths: ndarray, i: int, j: int, k: int, x: float, y: float
) -> tuple[float, float, float]:
    """Perspective-correct barycentric coordinates of a pixel centre."""
    ax, ay = points[i, 0] - x, points[i, 1] - y
    bx, by = points[j, 0] - x, points[j, 1] - y
    cx, cy = points[k, 0] - x, points[k, 1] - y
    p = (bx * cy - by * cx) / depths[i]
    q = (cx * ay - cy * ax) / depths[j]
    r = (ax * by - ay * bx) / depths[k]
    total = p + q + r
    if total == 0.0:
        return 1.0, 0.0, 0.0
    return p / total, q / total, r / total


@compiled
def _skin_at(
    texture: ndarray, base: int, slopes: ndarray, u: float, v: float, skin: Skin
) -> tuple[float, float, float, float, float, float, float]:
    """Albedo, gradient of the relief and gloss at a place on a face."""
    last = texture.shape[1] - 1
    x, y = min(max(u * last, 0.0), last - 1e-6), min(max(v * last, 0.0), last - 1e-6)
    i, j = int(x), int(y)
    x, y = x - i, y - j
    weights = ((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y)
    palm = _mixed(texture, base, i, j, 0, weights)
    nail = _mixed(texture, base, i, j, 1, weights)
    tone = 1.0 + skin.mottling * _mixed(texture, base, i, j, 2, weights)
    red = skin.redness * _mixed(texture, base, i, j, 3, weights)
    crease = _mixed(texture, base, i, j, 4, weights)
    h00, h10 = texture[base, i, j, 5], texture[base, i + 1, j, 5]
    h01, h11 = texture[base, i, j + 1, 5], texture[base, i + 1, j + 1, 5]
    du = ((h10 - h00) * (1 - y) + (h11 - h01) * y) * last * skin.relief
    dv = ((h01 - h00) * (1 - x) + (h11 - h10) * x) * last * skin.relief
    dark = tone * (1.0 - 0.30 * crease)
    tint = 1.0 - 0.11 * crease
    r = (skin.back[0] + (skin.palm[0] - skin.back[0]) * palm) * dark * (1.0 + 0.25 * red)
    g = (skin.back[1] + (skin.palm[1] - skin.back[1]) * palm) * dark * (1.0 - 0.35 * red) * tint
    e = (skin.back[2] + (skin.palm[2] - skin.back[2]) * palm) * dark * (1.0 - 0.30 * red) * tint
    r += (skin.nail[0] - r) * nail * 0.75
    g += (skin.nail[1] - g) * nail * 0.75
    e += (skin.nail[2] - e) * nail * 0.75
    gx = du * slopes[base, 0, 0] + dv * slopes[base, 1, 0]
    gy = du * slopes[base, 0, 1] + dv * slopes[base, 1, 1]
    gz = du * slopes[base, 0, 2] + dv * slopes[base, 1, 2]
    return r, g, e, gx, gy, gz, skin.gloss * (1.0 + 2.0 * nail) * (1 - 0.3 * palm)


@compiled
def _mixed(texture: ndarray, base: int, i: int, j: int, channel: int, weights: Weights) -> float:
    a, b, c, d = weights
    one = a * texture[base, i, j, channel] + b * texture[base, i + 1, j, channel]
    return one + c * texture[base, i, j + 1, channel] + d * texture[base, i + 1, j + 1, channel]


@compiled
def _blend3(
    normals: ndarray, faces: ndarray, base: int, w: float, u: float, v: float
) -> tuple[float, float, float]:
    i, j, k = faces[base, 0], faces[base, 1], faces[base, 2]
    return _unit(
        w * normals[i, 0] + u * normals[j, 0] + v * normals[k, 0],
        w * normals[i, 1] + u * normals[j, 1] + v * normals[k, 1],
        w * normals[i, 2] + u * normals[j, 2] + v * normals[k, 2],
    )


@compiled
def _corner_mix(
    values: ndarray, face: int, p: float, q: float, r: float
) -> tuple[float, float, float]:
    return (
        p * values[face, 0, 0] + q * values[face, 1, 0] + r * values[face, 2, 0],
        p * values[face, 0, 1] + q * values[face, 1, 1] + r * values[face, 2, 1],
        p * values[face, 0, 2] + q * values[face, 1, 2] + r * values[face, 2, 2],
    )


@compiled
def _surface_at(
    drawn: Drawn, texture: ndarray, skin: Skin, face: int, x: float, y: float
) -> tuple[float, float, float, float, float, float, float, float, float, float, float, float]:
    """Normal, normal with relief, albedo, gloss, shine and how much light scatters below."""
    i, j, k = drawn.faces[face, 0], drawn.faces[face, 1], drawn.faces[face, 2]
    p, q, r = _weights(drawn.points, drawn.depths, i, j, k, x, y)
    if face >= drawn.skin_faces:
        t = face - drawn.skin_faces
        nx, ny, nz = _unit(*_corner_mix(drawn.thing_normals, t, p, q, r))
        red, green, blue = _corner_mix(drawn.thing_colors, t, p, q, r)
        return nx, ny, nz, nx, ny, nz, red, green, blue, drawn.thing_gloss[t], 40.0, 0.0
    base = face // _SPLITS_SQUARED
    first = base * _CORNERS
    c = drawn.corners
    u = p * c[i - first, 1] + q * c[j - first, 1] + r * c[k - first, 1]
    v = p * c[i - first, 2] + q * c[j - first, 2] + r * c[k - first, 2]
    nx, ny, nz = _blend3(drawn.normals, drawn.base_faces, base, 1.0 - u - v, u, v)
    red, green, blue, gx, gy, gz, gloss = _skin_at(texture, base, drawn.slopes, u, v, skin)
    bx, by, bz = _unit(nx - gx, ny - gy, nz - gz)
    return nx, ny, nz, bx, by, bz, red, green, blue, gloss, skin.shine, 1.0


@compiled
def shade(
    drawn: Drawn, view: View, texture: ndarray, skin: Skin, light: Light, shadow: Shadow,
    layers: tuple[ndarray, ndarray],
) -> None:  # fmt: skip
    """Add every supersampled pixel's light to the first of the layers (h, w, 4: premultiplied
    linear RGB, alpha) and the hand's coverage to the second (h, w)."""
    picture, mask = layers
    face_index, zbuffer, focal, cx, cy, supersampling = view
    part = 1.0 / (supersampling * supersampling)
    rows, columns = face_index.shape
    for row in range(rows):
        for column in range(columns):
            face = face_index[row, column]
            if face < 0:
                continue
            x, y, z = column + 0.5, row + 0.5, float(zbuffer[row, column])
            px, py = (x - cx) * z / focal, (y - cy) * z / focal
            to, at = row // supersampling, column // supersampling
            nx, ny, nz, bx, by, bz, red, green, blue, gloss, shine, scatter = _surface_at(
                drawn, texture, skin, face, x, y
            )
            if face < drawn.hand_faces:
                mask[to, at] += part
            vx, vy, vz = _unit(-px, -py, -z)
            if nx * vx + ny * vy + nz * vz < 0:  # seen from inside: sleeves, open boxes
                nx, ny, nz, bx, by, bz = -nx, -ny, -nz, -bx, -by, -bz
            # subpixels of a pixel look in different directions, and pixels in a scrambled order
            turn = (row % 2 * 2 + column % 2 + 4 * _scrambled(to, at)) % _TURNS
            open_ = _occlusion(view, row, column, turn, (px, py, z), (nx, ny, nz))
            key = bx * light.key[0] + by * light.key[1] + bz * light.key[2]
            reached = 0.0
            if key > -0.4:
                reached = _lit(
                    shadow, light.softness, turn,
                    px + 0.0015 * nx, py + 0.0015 * ny, z + 0.0015 * nz,
                )  # fmt: skip
            fill = bx * light.fill[0] + by * light.fill[1] + bz * light.fill[2]
            glossy = gloss * _lobe((vx, vy, vz), (bx, by, bz), light.key, key, shine)
            second = gloss * _lobe((vx, vy, vz), (bx, by, bz), light.fill, fill, shine)
            away = 1.0 - max(0.0, bx * vx + by * vy + bz * vz)
            sheen = gloss * open_ * open_ * (0.028 + 0.4 * away * away * away * away * away)
            met = (open_, reached, key, fill, glossy, second, sheen)
            texel = _mirrored((vx, vy, vz), (bx, by, bz), light.glossy.shape[0])
            n = (bx, by, bz)
            picture[to, at, 0] += part * _radiance(light, 0, red, 0.38 * scatter, met, n, texel)
            picture[to, at, 1] += part * _radiance(light, 1, green, 0.16 * scatter, met, n, texel)
            picture[to, at, 2] += part * _radiance(light, 2, blue, 0.10 * scatter, met, n, texel)
            picture[to, at, 3] += part
