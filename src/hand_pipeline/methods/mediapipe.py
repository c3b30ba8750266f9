"""The baseline that learns nothing: MediaPipe's landmarks with the hand model fitted to them.

MediaPipe Hands (Zhang et al. 2020, arXiv 2006.10214) gives 21 joints in pixels and in metres, but
no mesh. `geometry.hand_fit` puts MANO on both. Any detector's joints will do: nothing here is
MediaPipe's but the name, as it is what this project looks with.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses
from hand_pipeline.geometry.hand_fit import HandFitConfig, Landmarks, fit_hands
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.models.crop_camera import (
    INITIAL_SCALE,
    HandEstimate,
    place_hand,
    project_in_front,
)
from hand_pipeline.training.method import Reconstructor


class MediaPipeConfig(Config):
    """Which hand model is fitted, and how."""

    fit: HandFitConfig = HandFitConfig()
    image_size: int = Field(
        224, gt=0, description="side of the images that 2D joints are given in, px; our choice"
    )
    tips: str = Field(
        "freihand",
        description="data set whose fingertip vertices to use (`mano.TIP_VERTICES`)",
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null: the open hand"
    )


class MediaPipe(Reconstructor):
    """MANO fitted to `HandBatch.keypoints`; images are not looked at, nothing is learnt."""

    name = "mediapipe"

    def __init__(self, cfg: MediaPipeConfig) -> None:
        super().__init__()
        self.cfg, self.image_size = cfg, cfg.image_size
        self.configs = {"cfg": cfg}
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.loss_weights = {}
        self.register_buffer("crop_scale", torch.tensor(2.0))  # our choice; a detector needs room

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """There are none.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "mediapipe has no parameters to train: use it as it is (predict --method mediapipe), "
            "or train another method"
        )

    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """See `Reconstructor.predict`. `joint_confidence` is the detector's own.

        A hand of which no joint was seen is the mean hand in the middle of the image.

        Raises:
            ValueError: the batch has no keypoints.
        """
        seen = batch.keypoints
        if seen is None:
            raise ValueError(
                "mediapipe fits hands to a detector's joints, but the batch has no keypoints: open "
                "the set with those of the pipeline `detect` (data.detected_keypoints), or look "
                "for them first"
            )
        side = batch.images.shape[-1]
        fit = fit_hands(self.mano, Landmarks(*seen), batch.intrinsics, self.cfg.fit)
        mean = self._mean_hand(batch.intrinsics, side)
        found = (seen.confidence > 0).any(1)

        def known(fitted: Tensor, unseen: Tensor) -> Tensor:
            return torch.where(found.view(-1, *[1] * (fitted.ndim - 1)), fitted, unseen)

        joints = known(fit.joints, mean.joints)
        resize = torch.tensor([self.image_size / side, self.image_size / side, 1.0])
        intrinsics = resize.to(batch.intrinsics)[:, None] * batch.intrinsics
        return HandHypotheses(
            ids=batch.ids,
            intrinsics=intrinsics,
            joints_2d=project_in_front(joints, intrinsics)[:, None],
            joints_3d=joints[:, None],
            vertices=known(fit.vertices, mean.vertices)[:, None],
            mano_pose=known(fit.mano_pose, mean.mano_pose)[:, None],
            betas=known(fit.betas, mean.betas),
            joint_confidence=None if only_hands else seen.confidence[:, None],
        )

    def _mean_hand(self, intrinsics: Float[Tensor, "batch 3 3"], side: int) -> HandEstimate:
        count = len(intrinsics)
        still = intrinsics.new_zeros(count, 48)
        camera = intrinsics.new_tensor([INITIAL_SCALE, 0, 0]).expand(count, 3)
        return place_hand(
            self.mano.full_pose(still, flat_hand_mean=False), intrinsics.new_zeros(count, 10),
            camera, intrinsics, self.mano, side, camera_joint=9,
        )  # fmt: skip
