"""Near duplicates by perceptual hash, found without comparing all pairs."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import imagehash
import numpy as np
from jaxtyping import Bool, UInt8, UInt64
from PIL import Image

HASH_BITS = 64


def perceptual_hash(image: UInt8[np.ndarray, "height width 3"]) -> str:
    """64 bits of an image's coarse structure, in hex (pHash: signs of its lowest cosine terms)."""
    return str(imagehash.phash(Image.fromarray(image)))


def near_duplicates(
    hashes: Sequence[str], quality: Sequence[float], max_distance: int
) -> Bool[np.ndarray, " items"]:
    """Which items to drop because a better one looks the same.

    From the best down, an item is kept unless an item already kept differs from it in at most
    `max_distance` bits. Only kept items count, so a slow movement is thinned out and not chained
    to a single frame. Equal quality goes by position; the result depends on nothing else.

    By the pigeonhole principle two hashes that differ in d bits agree in one of d + 1 chunks, so
    only items that share a chunk are compared.

    Args:
        hashes: of `perceptual_hash`.
        quality: higher is better.
        max_distance: most differing bits of a near duplicate; below 0 nothing is dropped.
    """
    values = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    dropped = np.zeros(len(values), dtype=bool)
    if max_distance < 0 or not len(values):
        return dropped
    chunks = _chunks(values, max_distance + 1)
    kept: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in chunks]
    for item in np.argsort(-np.asarray(quality, dtype=np.float64), kind="stable").tolist():
        places = [buckets[chunk[item]] for buckets, chunk in zip(kept, chunks, strict=True)]
        others = np.fromiter((other for place in places for other in place), dtype=np.int64)
        distances = np.bitwise_count(values[others] ^ values[item])
        dropped[item] = bool((distances <= max_distance).any())
        if not dropped[item]:
            for place in places:
                place.append(item)
    return dropped


def _chunks(values: UInt64[np.ndarray, " items"], count: int) -> list[list[int]]:
    """Cut 64-bit values into `count` runs of bits."""
    edges = np.linspace(0, HASH_BITS, min(count, HASH_BITS) + 1).astype(int).tolist()
    return [
        ((values >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)).tolist()
        for low, high in pairwise(edges)
    ]
