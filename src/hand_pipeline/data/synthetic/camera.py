"""How a hand stands before the camera, and what the camera makes of the scene."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from numpy import ndarray
from PIL import Image, ImageFilter
from scipy.spatial.transform import Rotation

from hand_pipeline.data.synthetic.config import Turns, Wear
from hand_pipeline.data.synthetic.light import Light

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
    if rng.random() < turns.egocentric:
        yaw, tilt, roll = 180 + rng.normal(0, 25), rng.normal(-35, 15), rng.normal(0, 30)
        return _turned(yaw, float(np.clip(tilt, -70, 5)), roll)
    view = rng.choice(["palm", "back", "side"], p=[0.53 * front, 0.47 * front, turns.side_views])
    yaw = {"palm": rng.uniform(-turns.yaw, turns.yaw),
           "back": 180 + rng.uniform(-turns.yaw, turns.yaw),
           "side": rng.choice([-90, 90]) + rng.uniform(-50, 50)}[view]  # fmt: skip
    tilt = np.clip(rng.normal(0, turns.tilt_std), -65, 65)
    upright = rng.random() < 1 - turns.any_roll
    roll = rng.normal(0, turns.roll_std) if upright else rng.uniform(-180, 180)
    return _turned(yaw, tilt, roll)


def _turned(yaw: float, tilt: float, roll: float) -> Float64[ndarray, "3 3"]:
    """About the forearm, then towards the camera, then in the image, degrees."""
    turn = Rotation.from_euler("zxy", [roll, tilt, yaw], degrees=True)
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


def cut_off(rng: np.random.Generator, placed: Placement) -> Placement:
    """Move a placed hand so that up to two fifths of its joints' box leave the image on a side."""
    projected = placed.joints @ placed.intrinsics.T
    pixels = projected[:, :2] / projected[:, 2:]
    low, high = pixels.min(0), pixels.max(0)
    outside = rng.uniform(0.1, 0.4) * (high - low)
    to_border = np.stack([-outside - low, 2 * np.array(placed.centre) + outside - high])
    side = int(rng.integers(4))
    move = np.zeros(3)
    move[side % 2] = to_border[side // 2, side % 2]
    shift = move * placed.joints[:, 2].mean() / placed.focal
    return placed._replace(vertices=placed.vertices + shift, joints=placed.joints + shift)


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
    light: Light,
    wear: Wear,
) -> UInt8[ndarray, "h w 3"]:
    """The image of premultiplied layers, farthest first, before a background."""
    # cameras take most of the light's colour out, not all
    balance = light.brightness().mean() / np.maximum(light.brightness(), 1e-6)
    balance = (balance ** rng.uniform(0.4, 1.0)).astype(np.float32)
    picture = _compose(background, layers, rng, light) * balance
    return _worn(_develop(picture, layers, rng, wear), rng, wear)


def _compose(
    background: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
    light: Light,
) -> Float32[ndarray, "h w 3"]:
    """Premultiplied layers over the background, on which they may throw the lamp's shadow."""
    picture = background
    towards = light.key
    # what shows the lamp's light of all that a wall facing the camera shows
    lamp = max(0.0, -float(towards[2])) * float(light.key_color.mean())
    share = lamp / (lamp + float(light.brightness().mean()))
    for layer in layers:
        alpha = layer[..., 3:]
        near_wall, gap = rng.random() < 0.45, rng.uniform(0.01, 0.08) * max(alpha.shape[:2])
        if near_wall and towards[2] < -0.25:
            # a wall behind the hand, seen from the lamp: the shadow lies away from the lamp
            move = -gap * towards[:2] / -towards[2]
            radius = gap * 0.12 * light.softness**0.5
            dark = np.float32(1.3 * share) * shifted(alpha[..., 0], move, radius)
            picture = picture * (1 - np.minimum(dark, 0.8))[..., None]
        picture = picture * (1 - alpha) + layer[..., :3]
    return picture


def shifted(alpha: ndarray, move: ndarray, radius: float) -> Float32[ndarray, "h w"]:
    """Coverage moved by (x, y) pixels and blurred; what comes from beyond the border repeats it."""
    matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]], np.float32)
    size = alpha.shape[1::-1]
    moved = cv2.warpAffine(
        np.ascontiguousarray(alpha), matrix, size, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.GaussianBlur(moved, (0, 0), max(radius, 0.5), borderType=cv2.BORDER_REPLICATE)


def _develop(
    picture: Float32[ndarray, "h w 3"],
    layers: list[Float32[ndarray, "h w 4"]],
    rng: np.random.Generator,
    wear: Wear,
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
    picture = picture * cast.astype(np.float32)
    if rng.random() < wear.noise:
        picture = _sensed(picture, rng)
    level = np.clip(picture * np.float32((_LEVELS - 1) / 4), 0, _LEVELS - 1)
    shown = _CURVE[level.astype(np.int16)]
    size = max(shown.shape[:2])
    if rng.random() < 0.4:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 1.1) * size / 224)
        shown = np.asarray(Image.fromarray(shown).filter(blur))
    if rng.random() < 0.12:
        shown = _motion_blur(shown, rng)
    return shown


def _sensed(picture: Float32[ndarray, "h w 3"], rng: np.random.Generator) -> ndarray:
    """Add a sensor's noise: of the photons, which grows with the light, and of the read-out.

    Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling"; the strengths are our choice.
    """
    shot, read = 10 ** rng.uniform(-4.3, -2.6), 10 ** rng.uniform(-3.2, -2.0)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    if rng.random() < 0.5:  # demosaicing and denoising leave coarse grain
        noise = 2.2 * cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 0.9))
    return picture + noise * np.sqrt(np.float32(shot) * picture + np.float32(read**2))


def _worn(shown: UInt8[ndarray, "h w 3"], rng: np.random.Generator, wear: Wear) -> ndarray:
    """Some images were scaled and compressed on their way."""
    if rng.random() >= wear.compression:
        return shown
    height, width = shown.shape[:2]
    scale, quality = rng.uniform(0.5, 1.0), int(rng.uniform(20, 75))
    small = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, stored = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    assert read is not None  # it was written a line above
    read = np.ascontiguousarray(read[..., ::-1])
    return np.ascontiguousarray(cv2.resize(read, (width, height), interpolation=cv2.INTER_LINEAR))


def _motion_blur(shown: ndarray, rng: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    angle, length = rng.uniform(0, np.pi), rng.uniform(1, 4) * max(shown.shape[:2]) / 224
    return smeared(shown, length * np.cos(angle), length * np.sin(angle))


def smeared(shown: UInt8[ndarray, "h w 3"], across: float, down: float) -> UInt8[ndarray, "h w 3"]:
    """The mean of five copies along a path, pixels; the border's pixels repeat beyond it."""
    total = np.zeros(shown.shape, np.float32)
    steps = 5
    for step in np.linspace(-0.5, 0.5, steps):
        matrix = np.array([[1, 0, step * across], [0, 1, step * down]], np.float32)
        total += cv2.warpAffine(
            shown, matrix, shown.shape[1::-1], flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return (total / steps).astype(np.uint8)
