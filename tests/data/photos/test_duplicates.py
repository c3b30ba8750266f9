import numpy as np
import pytest
from PIL import Image

from hand_pipeline.data.photos.duplicates import near_duplicates, perceptual_hash


def distances(hashes):
    values = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    return np.bitwise_count(values[:, None] ^ values[None])


def slow_near_duplicates(hashes, quality, limit):
    between = distances(hashes)
    kept = []
    for item in sorted(range(len(hashes)), key=lambda i: (-quality[i], i)):
        if all(between[item, other] > limit for other in kept):
            kept.append(item)
    return [item not in kept for item in range(len(hashes))]


@pytest.mark.parametrize("limit", [0, 1, 4, 9, 32])
def test_the_chunked_search_equals_comparing_all_pairs(limit):
    generator = np.random.default_rng(limit)
    centres = generator.integers(0, 2**63, 20, dtype=np.uint64)
    flips = np.uint64(1) << generator.integers(0, 64, (6, 300), dtype=np.uint64)
    values = centres[generator.integers(0, 20, 300)]
    for row in flips[: generator.integers(0, 3)]:
        values = values ^ row
    hashes = [f"{int(value):016x}" for value in values]
    quality = generator.integers(0, 5, 300).astype(float).tolist()
    expected = slow_near_duplicates(hashes, quality, limit)
    assert near_duplicates(hashes, quality, limit).tolist() == expected
    assert any(expected)


def test_the_best_of_equals_is_kept():
    hashes = ["00000000000000ff"] * 3
    assert near_duplicates(hashes, [0.2, 0.9, 0.9], 0).tolist() == [True, False, True]


def test_a_slow_movement_is_thinned_and_not_chained_to_one_frame():
    hashes = [f"{(1 << n) - 1:016x}" for n in range(10)]  # each differs from the next in one bit
    dropped = near_duplicates(hashes, [1.0] * 10, 2)
    assert np.flatnonzero(~dropped).tolist() == [0, 3, 6, 9]


def test_nothing_is_dropped_below_zero_or_of_nothing():
    assert not near_duplicates(["0" * 16] * 2, [1.0, 1.0], -1).any()
    assert len(near_duplicates([], [], 3)) == 0


def test_a_recompressed_and_resized_photo_is_near_and_another_far():
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    photo, other = (Image.fromarray(image).resize((200, 200), Image.Resampling.BICUBIC)
                    for image in coarse)  # fmt: skip
    smaller = photo.resize((150, 150))
    one, two, three = (perceptual_hash(np.array(image)) for image in (photo, smaller, other))
    between = distances([one, two, three])
    assert between[0, 1] <= 2
    assert between[0, 2] > 10
