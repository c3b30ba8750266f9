"""Reconstructed hands drawn over their photo, and seen from the side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.joints import BONES
from hand_pipeline.geometry.rasterizer import render

RGB = tuple[float, float, float]
SIDE_COLOURS: dict[str, RGB] = {"right": (0.36, 0.60, 0.92), "left": (0.93, 0.60, 0.36)}
FINGER_COLOURS = ("#e6194b", "#f5a623", "#3cb44b", "#1fb6d9", "#a45cff")  # thumb to pinky
_PAPER = 250
_SIDE_DISTANCE = 6.0  # camera of the side view, in radii of the group of hands
_SIDE_FILL = 0.85  # share of the side view that the hands fill


@dataclass(frozen=True)
class DrawnHand:
    """What is drawn of a hand: its mesh (camera frame, metres), its joints (px) and its colour.

    The colour is one RGB from 0 to 1, or the reflectance of every vertex: of such a hand no bones
    are drawn, which would hide its texture.
    """

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    joints_2d: Float[Tensor, "21 2"]
    colour: RGB | Float[Tensor, "vertices 3"]


@runtime_checkable
class Placed(Protocol):
    """A hand in the camera of its photo: `evaluation.reconstruct.PlacedHand`."""

    @property
    def handedness(self) -> str:
        """`left` or `right`."""
        ...

    @property
    def vertices(self) -> Float[Tensor, "vertices 3"]:
        """Of its mesh, metres."""
        ...

    @property
    def faces(self) -> Int[Tensor, "faces 3"]:
        """Its triangles."""
        ...

    @property
    def joints_2d(self) -> Float[Tensor, "21 2"]:
        """Px of the photo."""
        ...

    @property
    def colours(self) -> Float[Tensor, "vertices 3"] | None:
        """Of its vertices, if the model gives them."""
        ...


def drawn(hands: Sequence[Placed]) -> list[DrawnHand]:
    """Hands to draw: in their own colours, or right ones blue and left ones orange."""
    return [
        DrawnHand(
            hand.vertices, hand.faces, hand.joints_2d,
            SIDE_COLOURS[hand.handedness] if hand.colours is None else hand.colours,
        )
        for hand in hands
    ]  # fmt: skip


def draw_hands(
    photo: UInt8[np.ndarray, "height width 3"],
    hands: Sequence[DrawnHand],
    intrinsics: Float[Tensor, "3 3"],
    opacity: float = 0.85,
    skeleton: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """The photo with the meshes over it, nearer hands before farther ones, and the bones."""
    drawn = photo.copy()
    window = _window(hands, intrinsics, photo.shape[:2])
    if window is not None:
        part = drawn[window]
        rgb, alpha = _render(hands, intrinsics, window)
        over = opacity * rgb + (1 - opacity * alpha[..., None]) * (part.astype(np.float32) / 255)
        drawn[window] = np.clip(over * 255 + 0.5, 0, 255).astype(np.uint8)
    if not skeleton:
        return drawn
    image = Image.fromarray(drawn)
    for hand in hands:
        if not isinstance(hand.colour, Tensor):
            draw_skeleton(image, hand.joints_2d.numpy())
    return np.array(image)


def side_view(hands: Sequence[DrawnHand], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The hands from their right, on a plain background; the photo's camera is to the left."""
    paper = np.full((size, size, 3), _PAPER, dtype=np.uint8)
    if not hands:
        return paper
    points = torch.cat([hand.vertices for hand in hands])
    centre = (points.amax(0) + points.amin(0)) / 2
    radius = (points - centre).norm(dim=-1).max()
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # depth to the right, right to us
    away = torch.stack([radius * 0, radius * 0, radius * _SIDE_DISTANCE])
    turned = [
        DrawnHand((hand.vertices - centre) @ turn.T + away, hand.faces, hand.joints_2d, hand.colour)
        for hand in hands
    ]
    focal = _SIDE_FILL * size / 2 * (_SIDE_DISTANCE - 1)
    camera = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return draw_hands(paper, turned, camera, opacity=1.0, skeleton=False)


def overlay_image(
    photo: UInt8[np.ndarray, "height width 3"],
    hands: Sequence[DrawnHand],
    intrinsics: Float[Tensor, "3 3"],
    max_side: int = 1280,
) -> Image.Image:
    """The photo with its hands, and beside it the hands from the side.

    Args:
        photo: RGB.
        hands: in the photo's camera.
        intrinsics: the photo's camera.
        max_side: a larger photo is drawn smaller.
    """
    image = Image.fromarray(photo)
    scale = min(1.0, max_side / max(image.size))
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    shrink = torch.tensor([image.width / photo.shape[1], image.height / photo.shape[0], 1.0])
    smaller = [
        DrawnHand(hand.vertices, hand.faces, hand.joints_2d * shrink[:2], hand.colour)
        for hand in hands
    ]
    drawn = draw_hands(np.array(image), smaller, shrink[:, None] * intrinsics)
    side = min(image.height, max(image.width // 2, 160))
    picture = Image.new("RGB", (image.width + side, image.height), (_PAPER,) * 3)
    picture.paste(Image.fromarray(drawn))
    picture.paste(
        Image.fromarray(side_view(hands, side)), (image.width, (image.height - side) // 2)
    )
    return picture


def draw_skeleton(
    image: Image.Image,
    joints: Float[np.ndarray, "21 2"],
    valid: Bool[np.ndarray, "21"] | None = None,
) -> None:
    """Draw the bones and joints of a hand onto an image, a colour for each finger.

    Args:
        image: drawn on.
        joints: px.
        valid: joints that are known; default all.
    """
    known = np.ones(21, dtype=bool) if valid is None else valid
    if not known.any():
        return
    draw = ImageDraw.Draw(image)
    extent = float(np.ptp(joints[known], axis=0).max())
    width = max(1, round(extent / 80))
    for number, (parent, child) in enumerate(BONES):
        if known[parent] and known[child]:
            ends = [tuple(joints[parent]), tuple(joints[child])]
            draw.line(ends, fill=FINGER_COLOURS[number // 4], width=width)
    for number, (x, y) in enumerate(joints):
        if not known[number]:
            continue
        colour = FINGER_COLOURS[max(number - 1, 0) // 4]
        box = [x - width, y - width, x + width, y + width]
        draw.ellipse(box, fill=colour, outline="white" if width > 1 else None)


def _window(
    hands: Sequence[DrawnHand], intrinsics: Tensor, size: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns of the image that the hands cover; None if they are outside it."""
    if not hands:
        return None
    pixels = project(torch.cat([hand.vertices for hand in hands]), intrinsics)
    extent = torch.tensor([size[1], size[0]])
    first = torch.minimum((pixels.amin(0) - 2).clamp(min=0), extent).long().tolist()
    last = torch.minimum((pixels.amax(0) + 3).clamp(min=0), extent).long().tolist()
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return slice(first[1], last[1]), slice(first[0], last[0])


def _render(
    hands: Sequence[DrawnHand], intrinsics: Tensor, window: tuple[slice, slice]
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """One mesh of all hands, so that they hide each other as they should; premultiplied."""
    vertices = torch.cat([hand.vertices for hand in hands])
    faces, first = [], 0
    for hand in hands:
        faces.append(hand.faces + first)
        first += len(hand.vertices)
    colours = torch.cat(
        [torch.as_tensor(hand.colour).to(hand.vertices).expand_as(hand.vertices) for hand in hands]
    )
    rows, columns = window
    camera = intrinsics.clone()
    camera[:2, 2] -= torch.tensor([float(columns.start), float(rows.start)])
    size = (rows.stop - rows.start, columns.stop - columns.start)
    rgb, alpha = render(vertices[None], torch.cat(faces), camera[None], size, colours[None])
    return rgb[0].permute(1, 2, 0).numpy(), alpha[0].numpy()
