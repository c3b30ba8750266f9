"""What leaves a loader: frozen bundles of tensors that can move to a device."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor

BatchType = TypeVar("BatchType", bound="Batch")


class Keypoints(NamedTuple):
    """2D joints as a detector saw them, OpenPose order; no labels.

    Attributes:
        points: px of the images they belong to.
        confidence: 0 (not found; the point may be anything finite) to 1.
    """

    points: Float[Tensor, "batch 21 2"]
    confidence: Float[Tensor, "batch 21"]


@dataclass(frozen=True)
class Batch:
    """A bundle of tensors with a common first dimension, and the ids of its samples."""

    ids: tuple[str, ...]

    def to(self: BatchType, device: torch.device | str, non_blocking: bool = True) -> BatchType:
        """The same batch with every tensor on `device`."""
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self: BatchType) -> BatchType:
        """The same batch in page-locked memory; called by torch's DataLoader."""
        return self._each(Tensor.pin_memory)

    def _each(self: BatchType, change: Callable[[Tensor], Tensor]) -> BatchType:
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = change(value)
            elif isinstance(value, Keypoints):
                changed[field.name] = Keypoints(*map(change, value))
        return replace(self, **changed)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ImageBatch(Batch):
    """Unlabelled crops.

    Attributes:
        images: RGB, 0 to 255.
    """

    images: UInt8[Tensor, "batch 3 height width"]


@dataclass(frozen=True)
class HandBatch(Batch):
    """Labelled right hands (left hands are mirrored before they come here).

    Camera frame is OpenCV (+x right, +y down, +z forward), lengths are metres, joints are in
    OpenPose order (`geometry.joints`). Where a label is missing its values are zero and its flag
    is False; a loss must use the flags.

    Attributes:
        images: RGB; uint8 0 to 255 as loaded, or float and ImageNet-normalised once augmented.
        intrinsics: maps camera points to pixels of `images`.
        joints_2d: pixels of `images`; pixel centres at .5 (the left edge of the image is 0).
        joints_3d: camera frame, metres.
        vertices: camera frame, metres.
        mano_pose: rotation matrices of wrist and 15 joints, MANO's joint order, full pose
            (relative to the flat hand, mean pose already added).
        betas: shape coefficients, in standard deviations.
        has_joints_2d, has_joints_3d: which joints are labelled.
        has_mano: whether `mano_pose`, `betas` are labelled.
        has_vertices: whether `vertices` are labelled.
        keypoints: what a detector saw in `images`; None where none has looked.
    """

    images: Shaped[Tensor, "batch 3 height width"]
    intrinsics: Float[Tensor, "batch 3 3"]
    joints_2d: Float[Tensor, "batch 21 2"]
    joints_3d: Float[Tensor, "batch 21 3"]
    vertices: Float[Tensor, "batch 778 3"]
    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    has_joints_2d: Bool[Tensor, "batch 21"]
    has_joints_3d: Bool[Tensor, "batch 21"]
    has_mano: Bool[Tensor, " batch"]
    has_vertices: Bool[Tensor, " batch"]
    keypoints: Keypoints | None = None


@dataclass(frozen=True)
class PoseBatch(Batch):
    """Right hands without pictures; same conventions as `HandBatch`.

    Attributes:
        mano_pose: rotation matrices of wrist and 15 joints, full pose.
        betas: shape coefficients, in standard deviations.
    """

    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]


@dataclass(frozen=True)
class PromptedPoseBatch(Batch):
    """Right hands that show what a text says; same conventions as `HandBatch`.

    Attributes:
        prompts: numbers of the texts, in the order of the model that learns them.
        mano_pose: rotation matrices of wrist and 15 joints, full pose.
    """

    prompts: Int64[Tensor, " batch"]
    mano_pose: Float[Tensor, "batch 16 3 3"]


@dataclass(frozen=True)
class HandPrediction(Batch):
    """Reconstructed right hands, in the camera of `intrinsics`; same conventions as `HandBatch`.

    Attributes:
        intrinsics: camera the hand was placed in; maps to pixels of the network's input image.
        joints_2d: projection of `joints_3d`, pixels of the network's input image.
    """

    intrinsics: Float[Tensor, "batch 3 3"]
    joints_2d: Float[Tensor, "batch 21 2"]
    joints_3d: Float[Tensor, "batch 21 3"]
    vertices: Float[Tensor, "batch 778 3"]
    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]


@dataclass(frozen=True)
class HandHypotheses(Batch):
    """Several possible right hands for each image, the surest first; as `HandPrediction` else.

    Attributes:
        confidence: of each hypothesis, 0 to 1.
        joint_confidence: of each of its joints, 0 to 1, OpenPose order.
        tokens: the codes it was decoded from.
        token_probability: what the network gave each of them.
    """

    intrinsics: Float[Tensor, "batch 3 3"]
    joints_2d: Float[Tensor, "batch hypotheses 21 2"]
    joints_3d: Float[Tensor, "batch hypotheses 21 3"]
    vertices: Float[Tensor, "batch hypotheses 778 3"]
    mano_pose: Float[Tensor, "batch hypotheses 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    confidence: Float[Tensor, "batch hypotheses"]
    joint_confidence: Float[Tensor, "batch hypotheses 21"]
    tokens: Int64[Tensor, "batch hypotheses tokens"]
    token_probability: Float[Tensor, "batch hypotheses tokens"]

    def ranked(self) -> "HandHypotheses":
        """The same hypotheses, those of each image by falling confidence."""
        order = self.confidence.argsort(dim=1, descending=True, stable=True)
        sorted_: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("ids", "intrinsics", "betas"):
                continue
            index = order.reshape(*order.shape, *[1] * (value.ndim - 2)).expand_as(value)
            sorted_[field.name] = value.gather(1, index)
        return replace(self, **sorted_)

    def surest(self) -> HandPrediction:
        """The first hypothesis of each image."""
        return HandPrediction(
            ids=self.ids,
            intrinsics=self.intrinsics,
            joints_2d=self.joints_2d[:, 0],
            joints_3d=self.joints_3d[:, 0],
            vertices=self.vertices[:, 0],
            mano_pose=self.mano_pose[:, 0],
            betas=self.betas,
        )
