"""How a hand stands before the camera, and what the camera makes of the scene."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from numpy import ndarray
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter
from scipy.spatial.transform import Rotation

from hand_pipeline.data.synthetic.config import Turns

MIN_DEPTH = 0.28  # metres; nearer hands look distorted and may cross the near plane
_LEVELS = 4096
# hand frame (fingers -x, back +y, thumb +z) to a camera that sees the palm, fingers up
_PALM_VIEW = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class Placement(NamedTuple):
    """A hand before a camera.

    Attributes:
        orientation: global rotation.
        vertices, joints: camera frame, metres; joints in OpenPose order.
        focal, centre: of the camera, pixels.
    """

    orientation: Float64[ndarray, "3 3"]
    vertices: Float64[ndarray, "778 3"]
    joints: Float64[ndarray, "21 3"]
    focal: float
    centre: tuple[float, float]

    @property
    def intrinsics(self) -> Float64[ndarray, "3 3"]:
        """Maps camera points to pixels."""
        x, y = self.centre
        return np.array([[self.focal, 0.0, x], [0.0, self.focal, y], [0.0, 0.0, 1.0]])


def random_orientation(rng: np.random.Generator, turns: Turns) -> Float64[ndarray, "3 3"]:
    """Palm, back or side towards the camera, tilted, and turned in the image."""
    front = 1 - turns.side_views
    view = rng.choice(["palm", "back", "side"], p=[0.53 * front, 0.47 * front, turns.side_views])
    yaw = {"palm": rng.uniform(-turns.yaw, turns.yaw),
           "back": 180 + rng.uniform(-turns.yaw, turns.yaw),
           "side": rng.choice([-90, 90]) + rng.uniform(-50, 50)}[view]  # fmt: skip
    tilt = np.clip(rng.normal(0, turns.tilt_std), -65, 65)
    upright = rng.random() < 1 - turns.any_roll
    roll = rng.normal(0, turns.roll_std) if upright else rng.uniform(-180, 180)
    turn = (
        Rotation.from_euler("z", roll, degrees=True)
        * Rotation.from_euler("x", tilt, degrees=True)
        * Rotation.from_euler("y", yaw, degrees=True)
    )
    return turn.as_matrix() @ _PALM_VIEW


def place(
    rng: np.random.Generator,
    vertices: Float[ndarray, "778 3"],
    joints: Float[ndarray, "21 3"],
    orientation: Float64[ndarray, "3 3"],
    image_size: tuple[float, float],
    focal: float,
    fill: float,
) -> Placement:
    """Move a rotated hand so that its joints fill the image as asked, all inside it.

    Args:
        image_size: height, width.
        fill: longer side of the joints' box, of the image's shorter side. Less where the hand
            would come nearer than MIN_DEPTH.
    """
    height, width = image_size
    size = min(height, width)
    centre = (width / 2, height / 2)
    middle = (joints.max(0) + joints.min(0)) / 2
    local = joints - middle
    depth = max(focal * np.ptp(local[:, :2], axis=0).max() / (fill * size), MIN_DEPTH)
    wish = (rng.random(2) + rng.random(2)) / 2
    offset = np.zeros(2)
    for _ in range(6):
        z = local[:, 2] + depth
        pixels = (local[:, :2] + offset) * focal / z[:, None] + centre
        low, high = pixels.min(0), pixels.max(0)
        depth = max(depth * (high - low).max() / (fill * size), MIN_DEPTH)
        margin = 0.04 * size
        room = np.maximum(np.array([width, height]) - 2 * margin - (high - low), 0.0)
        target = margin + (high - low) / 2 + wish * room
        offset += (target - (high + low) / 2) * depth / focal
    shift = np.array([offset[0], offset[1], depth]) - middle
    return Placement(orientation, vertices + shift, joints + shift, focal, centre)


def _tone_curve() -> UInt8[ndarray, " levels"]:
    """From linear light, up to 4 of white, to what is stored: a soft shoulder, then sRGB."""
    light = np.linspace(0, 4, _LEVELS)
    shown = 1 - np.exp(-1.6 * light)
    srgb = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.uint8)


_CURVE = _tone_curve()


def photograph(
    background: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
) -> UInt8[ndarray, "h w 3"]:
    """The image of premultiplied layers before a background."""
    return _develop(_compose(background, layers, rng), layers, rng)


def _compose(
    background: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
) -> Float32[ndarray, "h w 3"]:
    """Premultiplied layers over the background, on which they may throw a soft shadow."""
    picture = background
    for layer in layers:
        alpha = layer[..., 3:]
        if rng.random() < 0.45:
            picture = picture * (1 - _contact_shadow(alpha[..., 0], rng))[..., None]
        picture = picture * (1 - alpha) + layer[..., :3]
    return picture


def _contact_shadow(alpha: ndarray, rng: np.random.Generator) -> Float32[ndarray, "h w"]:
    height, width = alpha.shape
    distance = rng.uniform(0.01, 0.09) * max(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    radius = max(2, int(distance * rng.uniform(0.4, 1.0)) // 2)
    small = alpha[::2, ::2]
    for _ in range(2):
        small = uniform_filter(small, radius, mode="nearest")
    dy, dx = int(distance * np.sin(angle)) // 2, int(distance * np.cos(angle)) // 2
    padded = np.pad(small, ((abs(dy),) * 2, (abs(dx),) * 2), mode="edge")
    moved = padded[abs(dy) - dy : abs(dy) - dy + small.shape[0], abs(dx) - dx :][
        :, : small.shape[1]
    ]
    large = np.repeat(np.repeat(moved, 2, 0), 2, 1)[:height, :width]
    return (large * rng.uniform(0.2, 0.65)).astype(np.float32)


def _develop(
    picture: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
) -> UInt8[ndarray, "h w 3"]:
    """Exposure, colour cast, tone curve, blur and noise of a camera.

    Args:
        layers: what the camera meters on, as much as on the whole image.
    """
    light = sum(float(layer[..., :3].sum()) for layer in layers) / 3
    covered = sum(float(layer[..., 3].sum()) for layer in layers)
    mean = float(np.sqrt(picture.mean() * max(light, 1.0) / max(covered, 1.0)))
    gain = (0.24 / max(mean, 1e-3)) ** 0.8 * 2 ** rng.normal(0, 0.35)
    cast = gain * (1 + rng.normal(0, 0.035, 3))
    level = np.minimum(picture * (cast * (_LEVELS - 1) / 4).astype(np.float32), _LEVELS - 1)
    shown = _CURVE[level.astype(np.int16)]
    size = max(shown.shape[:2])
    if rng.random() < 0.4:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 1.1) * size / 224)
        shown = np.asarray(Image.fromarray(shown).filter(blur))
    if rng.random() < 0.12:
        shown = _motion_blur(shown, rng)
    if rng.random() < 0.8:
        strength = np.float32(rng.uniform(0.5, 5.0))
        noise = rng.standard_normal(shown.shape, dtype=np.float32)
        shown = np.clip(shown + noise * strength, 0, 255).astype(np.uint8)
    return shown


def _motion_blur(shown: ndarray, rng: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    angle, length = rng.uniform(0, np.pi), rng.uniform(1, 4) * max(shown.shape[:2]) / 224
    total = np.zeros(shown.shape, np.float32)
    steps = 5
    for step in np.linspace(-0.5, 0.5, steps):
        dx, dy = round(step * length * np.cos(angle)), round(step * length * np.sin(angle))
        total += np.roll(shown, (dy, dx), (0, 1))
    return (total / steps).astype(np.uint8)
