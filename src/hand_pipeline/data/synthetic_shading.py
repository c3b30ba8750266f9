"""Light on skin and things, pixel by pixel, as machine code.

Linear light throughout. Skin: diffuse light that wraps around, red furthest (a cheap stand-in for
light scattered below the surface), a glossy layer with Fresnel, relief from the texture's height,
soft shadows of one lamp from a shadow map, and ambient light dimmed in corners by screen-space
ambient occlusion.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from hand_pipeline.data.synthetic_texture import TEXELS
from hand_pipeline.geometry.zbuffer import compiled, fill_zbuffer

SHADOW_SIZE = 256
_SPLITS_SQUARED = 9  # faces that one face is split into (synthetic_mesh.SPLITS ** 2)
_CORNERS = 10  # vertices of a split face


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


@compiled
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = np.sqrt(x * x + y * y + z * z) + 1e-12
    return x / length, y / length, z / length


@compiled
def _hash(a: int, b: int) -> float:
    h = (a * 374761393 + b * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


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
def _occlusion(
    zbuffer: ndarray, row: int, column: int, focal: float, cx: float, cy: float,
    px: float, py: float, pz: float, nx: float, ny: float, nz: float,
) -> float:  # fmt: skip
    """Share of the surroundings that is hidden by what stands nearby, from 8 pixels around."""
    height, width = zbuffer.shape
    reach = 0.016
    radius = reach * focal / pz
    angle = 6.2831853 * _hash(row, column)
    total = 0.0
    for sample in range(8):
        r = radius * ((sample + 0.7) / 8.0)
        x = int(column + r * np.cos(angle))
        y = int(row + r * np.sin(angle))
        angle += 2.3999632
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        z = float(zbuffer[y, x])
        if not z < 10.0:
            continue
        vx, vy, vz = (x + 0.5 - cx) * z / focal - px, (y + 0.5 - cy) * z / focal - py, z - pz
        square = vx * vx + vy * vy + vz * vz
        cosine = (vx * nx + vy * ny + vz * nz) / (np.sqrt(square) + 1e-9)
        total += max(0.0, cosine - 0.12) / (1.0 + square / (reach * reach) * 0.6)
    return 1.0 - min(0.85, total / 8.0 * 2.2)


@compiled
def _lit(shadow: Shadow, softness: float, jitter: float, x: float, y: float, z: float) -> float:
    """Share of the lamp that reaches a point: 8 looks into the shadow map."""
    dx, dy, dz = x - shadow.place[0], y - shadow.place[1], z - shadow.place[2]
    m = shadow.rotation
    u = m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz
    v = m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz
    w = m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz
    half = shadow.depth.shape[0] / 2
    u, v = u / w * shadow.focal + half, v / w * shadow.focal + half
    angle, reached = 6.2831853 * jitter, 0.0
    for sample in range(8):
        r = softness * np.sqrt((sample + 0.5) / 8.0)
        column, row = int(u + r * np.cos(angle)), int(v + r * np.sin(angle))
        angle += 2.3999632
        if column < 0 or row < 0 or column >= 2 * half or row >= 2 * half:
            reached += 1.0
        elif shadow.depth[row, column] > w - 0.0025 - 0.0006 * r:
            reached += 1.0
    return reached / 8.0


@compiled
def _skin_at(
    texture: ndarray, slopes: ndarray, u: float, v: float, skin: Skin
) -> tuple[float, float, float, float, float, float, float]:
    """Albedo, gradient of the relief and gloss at a place on a face."""
    last = TEXELS - 1
    x, y = min(max(u * last, 0.0), last - 1e-6), min(max(v * last, 0.0), last - 1e-6)
    i, j = int(x), int(y)
    x, y = x - i, y - j
    a, b = (1 - x) * (1 - y), x * (1 - y)
    c, d = (1 - x) * y, x * y
    t00, t10, t01, t11 = texture[i, j], texture[i + 1, j], texture[i, j + 1], texture[i + 1, j + 1]
    palm = a * t00[0] + b * t10[0] + c * t01[0] + d * t11[0]
    nail = a * t00[1] + b * t10[1] + c * t01[1] + d * t11[1]
    tone = 1.0 + skin.mottling * (a * t00[2] + b * t10[2] + c * t01[2] + d * t11[2])
    red = skin.redness * (a * t00[3] + b * t10[3] + c * t01[3] + d * t11[3])
    crease = a * t00[4] + b * t10[4] + c * t01[4] + d * t11[4]
    du = ((t10[5] - t00[5]) * (1 - y) + (t11[5] - t01[5]) * y) * last * skin.relief
    dv = ((t01[5] - t00[5]) * (1 - x) + (t11[5] - t10[5]) * x) * last * skin.relief
    dark = 1.0 - 0.38 * crease
    tints = (1.0 + 0.25 * red, 1.0 - 0.35 * red, 1.0 - 0.30 * red)
    deep = (dark, dark * (1.0 - 0.10 * crease), dark * (1.0 - 0.12 * crease))
    r = (skin.back[0] * (1 - palm) + skin.palm[0] * palm) * tone * tints[0] * deep[0]
    g = (skin.back[1] * (1 - palm) + skin.palm[1] * palm) * tone * tints[1] * deep[1]
    b_ = (skin.back[2] * (1 - palm) + skin.palm[2] * palm) * tone * tints[2] * deep[2]
    r += (skin.nail[0] - r) * nail * 0.75
    g += (skin.nail[1] - g) * nail * 0.75
    b_ += (skin.nail[2] - b_) * nail * 0.75
    gx = du * slopes[0, 0] + dv * slopes[1, 0]
    gy = du * slopes[0, 1] + dv * slopes[1, 1]
    gz = du * slopes[0, 2] + dv * slopes[1, 2]
    return r, g, b_, gx, gy, gz, skin.gloss * (1.0 + 2.0 * nail) * (1 - 0.3 * palm)


@compiled
def _wrapped(cosine: float, wrap: float) -> float:
    return max(0.0, (cosine + wrap) / (1.0 + wrap))


@compiled
def _radiance(
    light: Light, channel: int, albedo: float, scatter: float, open_: float, reached: float,
    key: float, fill: float, facing_up: float, glossy: float, fill_glossy: float,
) -> float:  # fmt: skip
    ambient = light.below[channel] + (light.above[channel] - light.below[channel]) * facing_up
    # light that bounces between folds of the skin takes its colour
    dimmed = open_ + (1.0 - open_) * open_ * albedo
    soft = reached + (1.0 - reached) * reached * scatter
    diffuse = light.key_color[channel] * _wrapped(key, scatter) * soft
    diffuse += light.fill_color[channel] * _wrapped(fill, scatter) * (0.4 + 0.6 * open_)
    shine = glossy * light.key_color[channel] * reached + fill_glossy * light.fill_color[channel]
    return albedo * (diffuse + ambient * dimmed) + shine


@compiled
def shade(
    drawn: Drawn, face_index: ndarray, zbuffer: ndarray, texture: ndarray, skin: Skin,
    light: Light, shadow: Shadow, focal: float, cx: float, cy: float, supersampling: int,
    picture: ndarray, mask: ndarray,
) -> None:  # fmt: skip
    """Add every supersampled pixel's light to `picture` (h, w, 4: premultiplied linear RGB, alpha)
    and the hand's coverage to `mask` (h, w)."""
    part = 1.0 / (supersampling * supersampling)
    rows, columns = face_index.shape
    for row in range(rows):
        for column in range(columns):
            face = face_index[row, column]
            if face < 0:
                continue
            x, y, z = column + 0.5, row + 0.5, float(zbuffer[row, column])
            i, j, k = drawn.faces[face]
            p, q, r = _weights(drawn.points, drawn.depths, i, j, k, x, y)
            px, py = (x - cx) * z / focal, (y - cy) * z / focal
            if face < drawn.skin_faces:
                base = face // _SPLITS_SQUARED
                first = base * _CORNERS
                c = drawn.corners
                u = p * c[i - first, 1] + q * c[j - first, 1] + r * c[k - first, 1]
                v = p * c[i - first, 2] + q * c[j - first, 2] + r * c[k - first, 2]
                w = 1.0 - u - v
                f = drawn.base_faces[base]
                n0, n1, n2 = drawn.normals[f[0]], drawn.normals[f[1]], drawn.normals[f[2]]
                nx = w * n0[0] + u * n1[0] + v * n2[0]
                ny = w * n0[1] + u * n1[1] + v * n2[1]
                nz = w * n0[2] + u * n1[2] + v * n2[2]
                nx, ny, nz = _unit(nx, ny, nz)
                red, green, blue, gx, gy, gz, gloss = _skin_at(
                    texture[base], drawn.slopes[base], u, v, skin
                )
                bx, by, bz = _unit(nx - gx, ny - gy, nz - gz)
                shine, scatter = skin.shine, 1.0
                if face < drawn.hand_faces:
                    mask[row // supersampling, column // supersampling] += part
            else:
                t = face - drawn.skin_faces
                m = drawn.thing_normals[t]
                nx, ny, nz = _unit(
                    p * m[0, 0] + q * m[1, 0] + r * m[2, 0],
                    p * m[0, 1] + q * m[1, 1] + r * m[2, 1],
                    p * m[0, 2] + q * m[1, 2] + r * m[2, 2],
                )
                m = drawn.thing_colors[t]
                red = p * m[0, 0] + q * m[1, 0] + r * m[2, 0]
                green = p * m[0, 1] + q * m[1, 1] + r * m[2, 1]
                blue = p * m[0, 2] + q * m[1, 2] + r * m[2, 2]
                gloss, shine, scatter = drawn.thing_gloss[t], 40.0, 0.0
                bx, by, bz = nx, ny, nz
            vx, vy, vz = _unit(-px, -py, -z)
            if nx * vx + ny * vy + nz * vz < 0:  # seen from inside: sleeves, open boxes
                nx, ny, nz, bx, by, bz = -nx, -ny, -nz, -bx, -by, -bz
            open_ = _occlusion(zbuffer, row, column, focal, cx, cy, px, py, z, nx, ny, nz)
            jitter = _hash(column + 7919, row)
            reached = _lit(
                shadow, light.softness, jitter,
                px + 0.0015 * nx, py + 0.0015 * ny, z + 0.0015 * nz,
            )  # fmt: skip
            key = bx * light.key[0] + by * light.key[1] + bz * light.key[2]
            fill = bx * light.fill[0] + by * light.fill[1] + bz * light.fill[2]
            up = 0.5 + 0.5 * (bx * light.up[0] + by * light.up[1] + bz * light.up[2])
            hx, hy, hz = _unit(vx + light.key[0], vy + light.key[1], vz + light.key[2])
            edge = (1.0 - max(0.0, hx * vx + hy * vy + hz * vz)) ** 5
            lobe = max(0.0, bx * hx + by * hy + bz * hz) ** shine * (shine + 8.0) / 25.0
            glossy = gloss * (0.05 + 0.6 * edge) * lobe * max(0.0, min(1.0, 4.0 * key))
            hx, hy, hz = _unit(vx + light.fill[0], vy + light.fill[1], vz + light.fill[2])
            lobe = max(0.0, bx * hx + by * hy + bz * hz) ** shine * (shine + 8.0) / 25.0
            second = gloss * 0.05 * lobe * max(0.0, min(1.0, 4.0 * fill))
            out = picture[row // supersampling, column // supersampling]
            out[0] += part * _radiance(
                light, 0, red, 0.38 * scatter, open_, reached, key, fill, up, glossy, second
            )
            out[1] += part * _radiance(
                light, 1, green, 0.16 * scatter, open_, reached, key, fill, up, glossy, second
            )
            out[2] += part * _radiance(
                light, 2, blue, 0.10 * scatter, open_, reached, key, fill, up, glossy, second
            )
            out[3] += part
