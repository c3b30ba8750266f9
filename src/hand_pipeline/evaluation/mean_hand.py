"""The baseline that looks at no image: one constant hand."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import mean_rotation


@dataclass(frozen=True)
class MeanHand:
    """The training set's mean pose (orientation included), mean shape and mean wrist position.

    Attributes:
        mano_pose: chordal mean of each joint's rotation, full pose.
        betas: mean shape coefficients.
        wrist: mean position of joint 0, camera frame, metres.
    """

    mano_pose: Float[Tensor, "16 3 3"]
    betas: Float[Tensor, "10"]
    wrist: Float[Tensor, "3"]
    mano: ManoHand

    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """The same hand for every image; only its projection depends on the camera."""
        intrinsics = batch.intrinsics
        mano = self.mano.to(intrinsics.device)
        pose, betas, wrist = (
            value.to(intrinsics).expand(len(batch), *value.shape)
            for value in (self.mano_pose, self.betas, self.wrist)
        )
        hand = mano(pose, betas)
        shift = wrist[:, None] - hand.joints[:, :1]
        joints = hand.joints + shift
        return HandHypotheses.single(
            batch.ids, intrinsics, project(joints, intrinsics), joints, hand.vertices + shift, pose,
            betas,
        )  # fmt: skip


def fit_mean_hand(
    mano_pose: Float[Tensor, "samples 16 3 3"],
    betas: Float[Tensor, "samples 10"],
    joints_3d: Float[Tensor, "samples 21 3"],
    has_mano: Bool[Tensor, " samples"],
    mano: ManoHand,
) -> MeanHand:
    """Average the labels of a training set.

    Raises:
        ValueError: no sample has MANO labels.
    """
    if not bool(has_mano.any()):
        raise ValueError("the mean hand needs at least one training sample with MANO labels, got 0")
    return MeanHand(
        mano_pose=mean_rotation(mano_pose[has_mano].transpose(0, 1)),
        betas=betas[has_mano].mean(0),
        wrist=joints_3d[has_mano, 0].mean(0),
        mano=mano,
    )


def mean_hand_of(hands: HandImages) -> MeanHand:
    """The mean hand of a training set; shots that come several times count once.

    Raises:
        ValueError: see `fit_mean_hand`.
    """
    _, one_of_each_shot = np.unique(hands.unique_ids, return_index=True)
    labels = hands.labels(one_of_each_shot, None)
    return fit_mean_hand(
        labels.mano_pose, labels.betas, labels.joints_3d, labels.has_mano, hands.mano
    )
