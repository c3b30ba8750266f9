"""What stands behind a synthetic hand: rooms, tables, cloth, leaves, or photos the user has."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from hand_pipeline.data.photos.files import PHOTO_SUFFIXES
from hand_pipeline.geometry.zbuffer import compiled


def list_photos(folder: Path) -> list[Path]:
    """Photos under a folder, at any depth, in the order of their names.

    Raises:
        FileNotFoundError: there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"background_photos: {folder} is not a folder. Give one with photos, or leave the "
            "option out for made-up backgrounds"
        )
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    if not found:
        raise FileNotFoundError(
            f"background_photos: no {', '.join(sorted(PHOTO_SUFFIXES))} file under {folder}. Give "
            "a folder with photos, or leave the option out for made-up backgrounds"
        )
    return found


def photo_background(
    rng: np.random.Generator, photos: list[Path], size: tuple[int, int]
) -> Float32[ndarray, "h w 3"]:
    """A random part of a random photo, linear RGB; unreadable photos are passed over.

    Raises:
        ValueError: ten photos in a row cannot be read.
    """
    height, width = size
    start = int(rng.integers(len(photos)))
    zoom, x, y, flip = rng.uniform(0.5, 1.0), rng.random(), rng.random(), rng.random() < 0.5
    for attempt in range(10):
        path = photos[(start + attempt) % len(photos)]
        try:
            with Image.open(path) as opened:
                opened.draft("RGB", (2 * width, 2 * height))
                photo = opened.convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
            continue
        scale = zoom * min(photo.width / width, photo.height / height)
        w, h = scale * width, scale * height
        left, top = x * (photo.width - w), y * (photo.height - h)
        part = photo.resize(
            (width, height), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h)
        )
        pixels = np.asarray(part, np.float32) / 255
        return np.ascontiguousarray((pixels[:, ::-1] if flip else pixels) ** 2.2)
    raise ValueError(
        f"background_photos: ten photos in a row cannot be read, the last one {path}. "
        "Remove broken files, or leave the option out"
    )


def made_up_background(
    rng: np.random.Generator, size: tuple[int, int]
) -> Float32[ndarray, "h w 3"]:
    """Blurred shapes over a textured ground, linear RGB."""
    kind = rng.choice(["room", "table", "cloth", "leaves", "plain"], p=[0.5, 0.18, 0.1, 0.12, 0.1])
    colors = _palette(rng, kind)
    angle = rng.uniform(0, np.pi)
    stretch = {"room": 1.0, "table": rng.uniform(4, 14), "cloth": 1.0, "leaves": 1.3, "plain": 1.0}
    frequency = {"room": rng.uniform(1, 4), "table": rng.uniform(2, 5), "cloth": rng.uniform(6, 14),
                 "leaves": rng.uniform(2, 7), "plain": rng.uniform(0.5, 2)}  # fmt: skip
    weave = rng.uniform(4, 30) if kind == "cloth" else 0.0
    ground = np.array([
        np.cos(angle), np.sin(angle), frequency[kind], frequency[kind] * stretch[kind], weave,
        rng.normal(0, 0.5), rng.normal(0, 0.5), rng.uniform(0.0, 0.15),
    ])  # fmt: skip
    counts = {"room": (5, 16), "table": (0, 6), "cloth": (0, 3), "leaves": (8, 30), "plain": (0, 2)}
    shapes = _shapes(rng, int(rng.integers(*counts[kind])), kind)
    return paint_background(size[0], size[1], colors, ground, shapes, int(rng.integers(2**31)))


def _palette(rng: np.random.Generator, kind: str) -> ndarray:
    if kind == "leaves":
        base = np.array([[0.05, 0.12, 0.02], [0.15, 0.28, 0.06], [0.35, 0.4, 0.2]])
    elif kind == "table":
        base = np.array([[0.20, 0.10, 0.04], [0.38, 0.22, 0.11], [0.55, 0.38, 0.22]])
        if rng.random() < 0.4:
            base = np.array([[0.5, 0.5, 0.5], [0.6, 0.6, 0.6], [0.75, 0.75, 0.75]])
    else:
        level = rng.beta(1.3, 1.3)
        tint = 1 + 0.35 * rng.standard_normal((3, 3)) * rng.beta(1, 2)
        base = np.array([0.5, 0.8, 1.0])[:, None] * level * np.abs(tint)
    return np.clip(base * rng.uniform(0.5, 1.5) * rng.uniform(0.85, 1.15, (3, 3)), 0.005, 1.0)


def _shapes(rng: np.random.Generator, count: int, kind: str) -> ndarray:
    """Rows: centre x, y, half width, half height, cos, sin, round, softness, r, g, b, shade."""
    out = np.zeros((count, 12))
    depth_of_field = 0.15 * rng.random() ** 2 + 0.003
    for row in out:
        upright = rng.random() < 0.6 and kind == "room"
        angle = rng.normal(0, 0.03) if upright else rng.uniform(0, np.pi)
        size = rng.uniform(0.01, 0.06) if kind == "leaves" else rng.uniform(0.04, 0.35)
        color = rng.random() + rng.normal(0, 0.16, 3) * rng.beta(1, 2) * 2
        if kind == "leaves":
            color = np.array([0.3, 0.5, 0.12]) * rng.uniform(0.1, 1.6) + rng.random(3) * 0.05
        row[:] = [
            rng.uniform(-0.1, 1.1), rng.uniform(-0.1, 1.1), size, size * rng.uniform(0.3, 3.0),
            np.cos(angle), np.sin(angle), rng.random() < (0.9 if kind == "leaves" else 0.3),
            depth_of_field * rng.uniform(0.5, 1.5), *np.clip(color, 0, 1) ** 1.8,
            rng.normal(0, 0.6),
        ]  # fmt: skip
    return out


@compiled
def _noise(x: float, y: float, seed: int) -> float:
    ix, iy = np.floor(x), np.floor(y)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    total = 0.0
    for corner in range(4):
        cx, cy = corner & 1, corner >> 1
        h = (
            (int(ix) + cx) * 374761393 + (int(iy) + cy) * 668265263 + seed * 1274126177
        ) & 0xFFFFFFFF
        h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
        weight = (fx if cx else 1 - fx) * (fy if cy else 1 - fy)
        total += weight * ((h ^ (h >> 16)) & 0xFFFF) / 65535.0
    return total


@compiled
def paint_background(
    height: int, width: int, colors: ndarray, ground: ndarray, shapes: ndarray, seed: int
) -> ndarray:
    """Noise between three colours, then soft-edged shapes one over the other."""
    out = np.empty((height, width, 3), np.float32)
    scale = 1.0 / max(height, width)
    c, s, fx, fy, weave, slope_x, slope_y, grain = ground
    for row in range(height):
        for column in range(width):
            x, y = (column + 0.5) * scale, (row + 0.5) * scale
            u, v = (c * x + s * y) * fx + 50.0, (c * y - s * x) * fy + 50.0
            n = 0.6 * _noise(u, v, seed) + 0.28 * _noise(2.7 * u, 2.7 * v, seed + 1)
            fine = _noise(9.1 * u, 9.1 * v, seed + 2)
            n += 0.12 * fine
            if weave > 0.0:
                n = 0.3 * n + 0.35 + 0.2 * np.sin(weave * 6.28 * (c * x + s * y))
                n += 0.15 * np.sin(weave * 6.28 * (c * y - s * x))
            n = min(max(1.5 * n - 0.25, 0.0), 0.9999)
            i = int(2 * n)
            t = 2 * n - i
            light = max(0.25, 1.0 + slope_x * (x - 0.5) + slope_y * (y - 0.5))
            light *= 1.0 + grain * (fine - 0.5)
            r = (colors[i, 0] * (1 - t) + colors[i + 1, 0] * t) * light
            g = (colors[i, 1] * (1 - t) + colors[i + 1, 1] * t) * light
            b = (colors[i, 2] * (1 - t) + colors[i + 1, 2] * t) * light
            for k in range(shapes.shape[0]):
                p = shapes[k]
                dx, dy = x - p[0], y - p[1]
                a, d = (p[4] * dx + p[5] * dy) / p[2], (p[4] * dy - p[5] * dx) / p[3]
                if p[6] > 0.5:
                    outside = (np.sqrt(a * a + d * d) - 1.0) * min(p[2], p[3])
                else:
                    outside = max((abs(a) - 1.0) * p[2], (abs(d) - 1.0) * p[3])
                if outside > p[7]:
                    continue
                share = min(1.0, 0.5 - 0.5 * outside / p[7])
                share = share * share * (3 - 2 * share)
                shade = max(0.1, 1.0 + p[11] * 0.5 * a + 0.25 * (n - 0.5))
                r += (p[8] * shade - r) * share
                g += (p[9] * shade - g) * share
                b += (p[10] * shade - b) * share
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = r, g, b
    return out
