"""Fingernails and fingertips: where they are on the skin."""

import numpy as np
from jaxtyping import Bool, Float, Int

from scripts.build_open_hand.arm import Arm
from scripts.build_open_hand.assets import read_grey_image
from scripts.build_open_hand.cut import HandSkin
from scripts.build_open_hand.layout import THUMB, joints_of
from scripts.build_open_hand.straighten import unit

NAIL_TEXTURE = "textures/mpfb_fingernails.jpg"


def nail_mask(arm: Arm, skin: HandSkin) -> Float[np.ndarray, " skin"]:
    """How much of a nail each vertex is, 0 to 1, read from MakeHuman's nail texture.

    A vertex on a texture seam gets the mean of its coordinates; nails have no seams.
    """
    image = read_grey_image(arm.root / NAIL_TEXTURE)
    corners, uv_corners = skin.triangles.ravel(), skin.uv_triangles.ravel()
    uv = np.zeros((len(skin.arm_ids), 2))
    np.add.at(uv, corners, arm.uvs[uv_corners])
    uv /= np.bincount(corners, minlength=len(uv))[:, None]
    height, width = image.shape
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return image[row, column]


def find_tips(
    vertices: Float[np.ndarray, "skin 3"],
    nails: Float[np.ndarray, " skin"],
    weights: Float[np.ndarray, "skin 16"],
    directions: Float[np.ndarray, "16 3"],
) -> list[int]:
    """The vertex at each fingertip: farthest along the last bone, somewhat to the pad's side."""
    tips = []
    for finger in range(5):
        last = joints_of(finger)[-1]
        on_last_bone = weights[:, last] > 0.5
        pad = np.array([0.0, -1.0, 0.0])
        if finger == THUMB:  # it lies turned, so its pad is where its nail is not
            nail = vertices[on_last_bone & (nails > 0.5)].mean(axis=0)
            pad = unit(vertices[on_last_bone].mean(axis=0) - nail)
        reach = vertices @ directions[last] + 0.35 * (vertices @ pad)
        reach[nails > 0.3] -= 0.003
        reach[~on_last_bone] = -np.inf
        tips.append(int(np.argmax(reach)))
    return tips


def nail_frames(
    vertices: Float[np.ndarray, "skin 3"],
    nails: Float[np.ndarray, " skin"],
    weights: Float[np.ndarray, "skin 16"],
    directions: Float[np.ndarray, "16 3"],
) -> Float[np.ndarray, "5 4 3"]:
    """Centre, outward normal, half length and half width (as vectors) of each finger's nail."""
    frames = np.zeros((5, 4, 3))
    for finger in range(5):
        last = joints_of(finger)[-1]
        on_last_bone = weights[:, last] > 0.5
        on_nail: Bool[np.ndarray, " skin"] = on_last_bone & (nails > 0.5)
        centre = vertices[on_nail].mean(axis=0)
        along = directions[last]
        outward = centre - vertices[on_last_bone].mean(axis=0)
        outward = unit(outward - along * (outward @ along))
        across = np.cross(along, outward)
        offsets = vertices[on_nail] - centre
        half_length = along * np.ptp(offsets @ along) / 2
        half_width = across * np.ptp(offsets @ across) / 2
        frames[finger] = centre, outward, half_length, half_width
    return frames


def move_frames(
    frames: Float[np.ndarray, "5 4 3"],
    source: Float[np.ndarray, "778 3"],
    target: Float[np.ndarray, "778 3"],
) -> Float[np.ndarray, "5 4 3"]:
    """Carry nails from one shape of the hand to another, each with the vertex nearest to it."""
    distances = np.linalg.norm(source - frames[:, :1], axis=2)
    nearest: Int[np.ndarray, " 5"] = distances.argmin(axis=1)
    moved = frames.copy()
    moved[:, 0] += target[nearest] - source[nearest]
    return moved
