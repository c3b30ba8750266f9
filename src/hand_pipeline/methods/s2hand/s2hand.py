"""S2HAND: textured 3D hands learnt from photos and noisy detected keypoints (Chen et al. 2021).

CVPR 2021, arXiv 2103.11703. An encoder regresses pose, shape, place, colours and light of a hand; a
MANO hand is posed, projected with the photo's camera and rendered. Losses compare projected joints
with detected ones, the render with the photo, and a 2D branch with the projection (section 3).
`methods.s2hand.config` has the total loss, its weights and the readings of paper and code.

Deviation: paper and code regress a translation in the camera; by default we regress it for a
nominal camera and convert it to the photo's (`geometry.pose_hand`).
Deviation: colours are compared only where the hand is rendered, and blend into the photo within the
outline's ramp; the code compares whole images, the render over white, the photo over black.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.data.batch import (
    Batch,
    HandBatch,
    HandHypotheses,
    Keypoints,
    true_keypoints,
)
from hand_pipeline.data.colour import imagenet_denormalize
from hand_pipeline.data.hand_augmentation import HandAugmentation, HandAugmentationConfig
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.s2hand.config import PARTS, PICTURE_TERMS, REFERENCE_SIZE, S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import (
    EfficientNetConfig,
    EfficientNetEncoder,
    EncodedImage,
)
from hand_pipeline.methods.s2hand.geometry import S2Estimate, depth_of_crop, pose_hand
from hand_pipeline.methods.s2hand.hand_prior import texture_loss
from hand_pipeline.methods.s2hand.heads import Appearance, AppearanceHeads, GeometryHeads
from hand_pipeline.methods.s2hand.hourglass import StackedHourglass
from hand_pipeline.methods.s2hand.renderer import HandRenderer, Rendered
from hand_pipeline.methods.s2hand.terms import (
    HandPrior,
    branch_heatmap_loss,
    branch_loss,
    geometry_terms,
    picture_terms,
    seen_distance,
    trust_in_colours,
)
from hand_pipeline.methods.s2hand.weighted_keypoint import consistency_loss
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.method import Reconstructor, parameter_groups


@dataclass(frozen=True, kw_only=True)
class TexturedHands(HandHypotheses):
    """Hands with the light they are seen in; `colours` are reflectances, without it.

    Attributes:
        colours: always given.
        light: `heads.LIGHT`.
    """

    colours: Float[Tensor, "batch 778 3"]
    light: Float[Tensor, "batch 11"]


class S2Hand(Reconstructor):
    """Encoder, regressors, hand model, renderer and 2D branch.

    Args:
        cfg: supervision, stage, readings, weights.
        encoder: the EfficientNet and its initialisation.
        augmentation: training augmentation and the input size, which must be the encoder's.

    Raises:
        ValueError: the augmentation makes images of another size than the encoder takes, or no
            term has a weight in this stage.
    """

    name = "s2hand"

    def __init__(
        self, cfg: S2HandConfig, encoder: EfficientNetConfig, augmentation: HandAugmentationConfig
    ) -> None:
        super().__init__()
        augmentation.check_size(encoder.image_size, "encoder")
        self.cfg, self.image_size = cfg, encoder.image_size
        self.configs = {"cfg": cfg, "encoder": encoder, "augmentation": augmentation}
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.augmentation = HandAugmentation(augmentation)
        self.encoder = EfficientNetEncoder(encoder)
        self.geometry = GeometryHeads(
            self.encoder.num_features, self.encoder.side, cfg.pooling, cfg.start_std
        )
        self.appearance = AppearanceHeads(
            self.encoder.num_low, len(self.mano.template), cfg.start_std
        )
        self.hourglass = StackedHourglass(cfg.hourglass)
        self.renderer = HandRenderer(self.mano.faces)
        self.loss_weights = cfg.active_terms()
        self._freeze()
        self.register_buffer("crop_scale", torch.tensor(2.0))
        self.expect_crops(2.0)
        self.prior = HandPrior(self.mano, cfg.bone_length, cfg.joint_limits)
        self._monitors: dict[str, Tensor] = {}

    def expect_crops(self, crop_scale: float) -> None:
        """Note how large hands are in their crops, and start at the depth that makes them so.

        For a method that has not learnt yet. Nothing is taken from 3D labels; a configured
        `initial_depth` stays.

        Args:
            crop_scale: side of a crop over the longer side of the hand in it.
        """
        self.crop_scale.fill_(crop_scale)
        depth = self.cfg.initial_depth or depth_of_crop(self.mano, crop_scale)
        self.geometry.start_at_depth(depth)

    def load_parts(
        self, tensors: Mapping[str, Tensor], parts: tuple[str, ...], origin: str
    ) -> None:
        """Load some networks of another S2Hand's state, to start a stage from the one before.

        Args:
            tensors: its `state_dict`.
            parts: networks to load, of `PARTS`.
            origin: name of its source for error messages.

        Raises:
            ValueError: an unknown part.
            CheckpointMismatchError: a part has another architecture.
        """
        if unknown := [part for part in parts if part not in PARTS]:
            raise ValueError(f"unknown parts {unknown}; known: {', '.join(PARTS)}")
        for part in parts:
            own = {
                name.removeprefix(f"{part}."): tensor
                for name, tensor in tensors.items()
                if name.startswith(f"{part}.")
            }
            load_strictly(self.get_submodule(part), own, f"{origin} ({part})")

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms of this stage.

        Images without detections are used: their supervision has weight 0, but the priors (shape,
        scale, limits), E_con and SSIM still apply; `monitors` counts them.

        Raises:
            TypeError: a batch that holds no hands.
            ValueError: self-supervision without detected keypoints.
        """
        if not isinstance(batch, HandBatch):
            raise TypeError(f"S2HAND needs a HandBatch, got {type(batch).__name__}")
        labels = self.augmentation(batch)
        images = imagenet_denormalize(labels.images)
        target = self._target(labels)
        unit, parts = REFERENCE_SIZE / self.image_size, self.cfg.trained_parts()
        terms: dict[str, Tensor] = {}
        joints_2d: list[Tensor] = []
        self._monitors = {"undetected": (target.confidence.amax(1) <= 0).float().mean()}
        if "hourglass" in parts:
            logits = self.hourglass.logits(images)
            joints_2d = [self.hourglass.joints_of(maps) * unit for maps in logits]
            terms["keypoint_2d"] = branch_loss(joints_2d, target)
            terms["heatmap"] = branch_heatmap_loss(logits, target, unit)
            self._monitors["pixels_2d_branch"] = seen_distance(joints_2d[-1], target)
        if "geometry" in parts:
            encoded = self._encode(labels.images)
            hand = self._hand(encoded.features, labels.intrinsics)
            projected = hand.joints_2d * unit
            terms |= geometry_terms(hand, projected, labels, target, self.prior, self.cfg)
            self._monitors["pixels_2d"] = seen_distance(projected, target)
            if joints_2d:
                terms["consistency"] = consistency_loss(joints_2d[-1], projected)
            if "appearance" in parts:
                look = self.appearance(encoded.low)
                terms |= self._colour_terms(hand, look, images, labels.intrinsics, target)
        return {name: terms[name] for name in self.loss_weights}

    def monitors(self) -> dict[str, Tensor]:
        """2D distances from the supervision, px of a 224 px image; shares of images left out."""
        return self._monitors

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the networks that this stage trains."""
        return parameter_groups([([self.get_submodule(part) for part in PARTS], 1.0)])

    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """One hand per image, with its colours and without a confidence; nothing is sampled.

        Keypoints are not used: the 2D branch is for training only. The mesh has the regressed
        scale, which `betas` lacks.
        """
        images, intrinsics = self.augmentation.network_input(batch.images, batch.intrinsics)
        encoded = self._encode(images)
        hand = self._hand(encoded.features, intrinsics)
        found = HandHypotheses.single(
            batch.ids, intrinsics, hand.joints_2d, hand.joints, hand.vertices, hand.mano_pose,
            hand.betas,
        )  # fmt: skip
        if only_hands:
            return found
        look = self.appearance(encoded.low)
        values = vars(found) | {"colours": look.colours.tanh().clamp(0, 1), "light": look.light}
        return TexturedHands(**values)

    def estimated_2d(self, batch: HandBatch) -> Float[Tensor, "batch 21 2"]:
        """Joints of the 2D branch, px of the network's input; images as for `predict`."""
        images, _ = self.augmentation.network_input(batch.images, batch.intrinsics)
        return self.hourglass(imagenet_denormalize(images))[-1]

    def _freeze(self) -> None:
        trained = self.cfg.trained_parts()
        for part in PARTS:
            self.get_submodule(part).requires_grad_(part in trained)
        if not set(self.loss_weights) & set(PICTURE_TERMS):
            self.appearance.light.requires_grad_(False)

    def _target(self, labels: HandBatch) -> Keypoints:
        """Keypoints that supervise the 2D terms, px of a 224 px image."""
        unit = REFERENCE_SIZE / self.image_size
        if self.cfg.supervision != "self":
            seen = true_keypoints(labels)
        elif labels.keypoints is not None:
            seen = labels.keypoints
        else:
            raise ValueError(
                "self-supervision needs detected keypoints, but the batch has none; attach "
                "them (data.detected_keypoints.WithKeypoints), or set supervision to weak or full"
            )
        return seen._replace(points=seen.points * unit)

    def _encode(self, images: Float[Tensor, "batch 3 size size"]) -> EncodedImage:
        return self.encoder(imagenet_denormalize(images))

    def _hand(self, features: Tensor, intrinsics: Tensor) -> S2Estimate:
        code = self.geometry(features)
        cfg = self.cfg
        return pose_hand(
            code, intrinsics, self.image_size, self.mano, cfg.translation, cfg.initial_rotation
        )

    def _colour_terms(
        self,
        hand: S2Estimate,
        look: Appearance,
        photo: Float[Tensor, "batch 3 size size"],
        intrinsics: Float[Tensor, "batch 3 3"],
        target: Keypoints,
    ) -> dict[str, Tensor]:
        trust = trust_in_colours(target, self.cfg)
        self._monitors["colours_left_out"] = (trust <= 0).float().mean()
        terms = {"texture": texture_loss(look.colours, trust)}
        if set(self.loss_weights) & set(PICTURE_TERMS):
            drawn = self._draw(hand, look, intrinsics)
            terms |= picture_terms(drawn, photo, trust, self.cfg)
        return terms

    def _draw(self, hand: S2Estimate, look: Appearance, intrinsics: Tensor) -> Rendered:
        size = (self.image_size, self.image_size)
        return self.renderer(hand.vertices, look.colours.tanh(), look.light, intrinsics, size)
