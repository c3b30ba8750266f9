"""What leaves a loader: frozen bundles of tensors that can move to a device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor

BatchType = TypeVar("BatchType", bound="Batch")


class Keypoints(NamedTuple):
    """Joints as a detector saw them, OpenPose order; no labels.

    Attributes:
        points: px of the images they belong to.
        confidence: 0 (not found; the point may be anything finite) to 1.
        points_3d: metres about some centre of the hand, in the axes of the images' camera; zeros
            for a hand without. None of a detector that sees no depth.
    """

    points: Float[Tensor, "batch 21 2"]
    confidence: Float[Tensor, "batch 21"]
    points_3d: Float[Tensor, "batch 21 3"] | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Keypoints":
        """The same with every tensor changed."""
        deep = self.points_3d
        return Keypoints(
            change(self.points), change(self.confidence), None if deep is None else change(deep)
        )


@dataclass(frozen=True)
class Batch:
    """A bundle of tensors with a common first dimension, and the ids of its samples."""

    ids: tuple[str, ...]

    def to(self: BatchType, device: torch.device | str, non_blocking: bool = True) -> BatchType:
        """The same batch with every tensor on `device`."""
        # what comes to the CPU is read at once, so the copy must have ended
        later = non_blocking and torch.device(device).type != "cpu"
        return self._each(lambda value: value.to(device, non_blocking=later))

    def pin_memory(self: BatchType) -> BatchType:
        """The same batch in page-locked memory; called by torch's DataLoader."""
        return self._each(Tensor.pin_memory)

    def rows(self: BatchType, chosen: Sequence[int]) -> BatchType:
        """Some of the samples, in the order given."""
        index = torch.tensor(chosen, dtype=torch.long)
        picked = self._each(lambda value: value[index.to(value.device)])
        return replace(picked, ids=tuple(self.ids[i] for i in chosen))

    def _each(self: BatchType, change: Callable[[Tensor], Tensor]) -> BatchType:
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = change(value)
            elif isinstance(value, Keypoints):
                changed[field.name] = value.each(change)
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

    @classmethod
    def unlabelled(
        cls,
        ids: tuple[str, ...],
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        keypoints: Keypoints | None = None,
    ) -> "HandBatch":
        """Hands of which nothing is known but what can be seen: to be predicted."""
        count = len(ids)
        labelled = torch.zeros(count, 21, dtype=torch.bool, device=intrinsics.device)
        return cls(
            ids,
            images,
            intrinsics,
            joints_2d=intrinsics.new_zeros(count, 21, 2),
            joints_3d=intrinsics.new_zeros(count, 21, 3),
            vertices=intrinsics.new_zeros(count, 778, 3),
            mano_pose=intrinsics.new_zeros(count, 16, 3, 3),
            betas=intrinsics.new_zeros(count, 10),
            has_joints_2d=labelled,
            has_joints_3d=labelled,
            has_mano=labelled[:, 0],
            has_vertices=labelled[:, 0],
            keypoints=keypoints,
        )


@dataclass(frozen=True)
class PoseBatch(Batch):
    """Right hands without images; same conventions as `HandBatch`.

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
class HandHypotheses(Batch):
    """Possible right hands of each image, the surest first; same conventions as `HandBatch`.

    What every reconstructor predicts: a method that gives one hand has one hypothesis.

    Attributes:
        intrinsics: camera the hands are placed in; maps to pixels of the network's input image.
        joints_2d: projection of `joints_3d`, pixels of the network's input image.
        confidence: of each hypothesis, 0 to 1; None of a method that gives none.
        joint_confidence: the same of each of its joints.
        colours: RGB reflectance of the vertices, 0 to 1, as photos store it; None of a method that
            gives none.
    """

    intrinsics: Float[Tensor, "batch 3 3"]
    joints_2d: Float[Tensor, "batch hypotheses 21 2"]
    joints_3d: Float[Tensor, "batch hypotheses 21 3"]
    vertices: Float[Tensor, "batch hypotheses 778 3"]
    mano_pose: Float[Tensor, "batch hypotheses 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    confidence: Float[Tensor, "batch hypotheses"] | None = None
    joint_confidence: Float[Tensor, "batch hypotheses 21"] | None = None
    colours: Float[Tensor, "batch 778 3"] | None = None

    @classmethod
    def single(
        cls,
        ids: tuple[str, ...],
        intrinsics: Float[Tensor, "batch 3 3"],
        joints_2d: Float[Tensor, "batch 21 2"],
        joints_3d: Float[Tensor, "batch 21 3"],
        vertices: Float[Tensor, "batch 778 3"],
        mano_pose: Float[Tensor, "batch 16 3 3"],
        betas: Float[Tensor, "batch 10"],
    ) -> "HandHypotheses":
        """One hand for each image."""
        return cls(
            ids, intrinsics, joints_2d[:, None], joints_3d[:, None], vertices[:, None],
            mano_pose[:, None], betas,
        )  # fmt: skip


@dataclass(frozen=True)
class JointPrediction(Batch):
    """Joints of right hands without a mesh; same conventions as `HandBatch`.

    Attributes:
        intrinsics: maps to pixels of the network's input image.
        joints_2d: pixels of the network's input image.
        joints_3d: camera frame, metres.
    """

    intrinsics: Float[Tensor, "batch 3 3"]
    joints_2d: Float[Tensor, "batch 21 2"]
    joints_3d: Float[Tensor, "batch 21 3"]


def true_keypoints(batch: HandBatch) -> Keypoints:
    """The labelled 2D joints as if a faultless detector had seen them: confidence 1 or 0."""
    return Keypoints(batch.joints_2d, batch.has_joints_2d.to(batch.joints_2d.dtype))
