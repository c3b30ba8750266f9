import cv2
import numpy as np
import pytest

from hand_pipeline.data.photos.cropping import CropConfig, cut_crop, flaws_of, squares_around
from hand_pipeline.data.photos.detector import Detection, without_overlaps


def detection(points=None, side="right", score=0.9, **changes):
    flat = np.random.default_rng(0).uniform(100, 200, (21, 2)) if points is None else points
    box = np.concatenate([flat.min(axis=0), flat.max(axis=0)])
    deep = np.random.default_rng(1).normal(size=(21, 3))
    fields = {"box": box, "landmarks_2d": flat, "landmarks_3d": deep, "handedness": side,
              "score": score, "found_in": 1, **changes}  # fmt: skip
    return Detection(**fields)


def photo_with_dot(x: float, y: float, width=400, height=300):
    """A bright blob whose centre of light is at (x, y), left edge 0."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    light = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6**2))
    return np.repeat(light.astype(np.uint8)[..., None], 3, axis=2)


def centre_of_light(image):
    light = image[..., 0].astype(float)
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("size", [64, 256, 512])
def test_pixels_and_landmarks_go_through_the_same_matrix(side, size):
    dot = np.array([173.0, 141.0])
    points = np.random.default_rng(0).uniform(100, 200, (21, 2))
    points[5] = dot
    crop = cut_crop(photo_with_dot(*dot), detection(points, side), CropConfig(crop_size=size))
    assert crop.image.shape == (size, size, 3)
    expected = crop.matrix @ [*dot, 1]
    np.testing.assert_allclose(crop.landmarks_2d[5], expected[:2], atol=1e-9)
    np.testing.assert_allclose(
        centre_of_light(crop.image), expected[:2], atol=0.3 * size / 175 + 0.1
    )


def test_a_left_hand_is_the_mirror_image_of_the_right_one():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    right, left = (
        cut_crop(photo, detection(side=side), CropConfig()) for side in ("right", "left")
    )
    assert left.mirrored
    assert not right.mirrored
    np.testing.assert_array_equal(left.image, right.image[:, ::-1])
    np.testing.assert_allclose(left.landmarks_2d, right.landmarks_2d * [-1, 1] + [256, 0])
    np.testing.assert_allclose(left.landmarks_3d, right.landmarks_3d * [-1, 1, 1])


def test_the_square_has_the_asked_side_and_the_hulls_centre():
    squares = squares_around(np.array([[100.0, 50.0, 180.0, 90.0]] * 2), 1.75)
    assert squares.tolist() == [[70, 0, 140]] * 2


def test_outside_the_photo_the_crop_is_black():
    photo = np.full((100, 100, 3), 200, dtype=np.uint8)
    points = np.random.default_rng(0).uniform(0, 90, (21, 2))
    crop = cut_crop(photo, detection(points), CropConfig(crop_size=100))
    inside = cv2.warpAffine(photo, crop.matrix[:2], (100, 100))
    assert (crop.image[:10] == 0).all()
    assert np.abs(crop.image[45:55, 45:55].astype(int) - inside[45:55, 45:55]).max() <= 1


def test_a_hand_wholly_outside_gives_a_black_crop():
    points = np.random.default_rng(0).uniform(900, 990, (21, 2))
    crop = cut_crop(np.full((100, 100, 3), 9, np.uint8), detection(points), CropConfig())
    assert not crop.image.any()


@pytest.mark.parametrize(
    ("hand", "cfg", "flaw"),
    [
        (detection(score=0.6), CropConfig(min_score=0.7), "unsure"),
        (detection(), CropConfig(min_hand_px=150), "small"),
        (detection(), CropConfig(min_sharpness=1e4), "blurred"),
        (detection(np.random.default_rng(0).uniform(-60, 60, (21, 2))), CropConfig(), "outside"),
    ],
)
def test_each_flaw_is_found_alone(hand, cfg, flaw):
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    crop = cut_crop(photo, hand, cfg)
    assert flaws_of(hand, crop, photo.shape[:2], cfg) == [flaw]


def test_a_good_hand_has_no_flaw():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    crop = cut_crop(photo, detection(), CropConfig())
    assert flaws_of(detection(), crop, photo.shape[:2], CropConfig()) == []


def test_blur_lowers_sharpness():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    sharp, soft = (cut_crop(p, detection(), CropConfig()).sharpness
                   for p in (photo, cv2.GaussianBlur(photo, (0, 0), 3)))  # fmt: skip
    assert soft < sharp / 5


def test_the_surest_of_overlapping_finds_is_kept():
    boxes = ([0.0, 0, 100, 100], [5.0, 5, 100, 100], [90.0, 90, 200, 200])
    first, close, far = (detection(box=np.array(box)) for box in boxes)
    assert without_overlaps([first, close, far], 0.6) == [first, far]
