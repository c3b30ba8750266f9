"""Augmentation of labelled hands, a whole batch at once, with labels that stay exact."""

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.colour import imagenet_normalize, jitter_maps, recolour
from hand_pipeline.geometry import affine2d
from hand_pipeline.geometry.camera import factor_intrinsics


class HandAugmentationConfig(Config):
    """Random scale, translation, rotation and colour (HandMIM, section 4.1, gives no ranges)."""

    image_size: int = Field(224, gt=0, description="side of the network's input, px; HandMIM: 224")
    scale: float = Field(0.25, ge=0, lt=1, description="zoom in 1 -+ this; PyMAF: 0.25")
    translation: float = Field(
        0.1, ge=0, le=0.5, description="shift in -+ this share of the side; our choice"
    )
    rotation_deg: float = Field(
        30.0, ge=0, le=180, description="angle in -+ this, degrees, uniform; PyMAF: N(0, 30)"
    )
    brightness: float = Field(0.4, ge=0, lt=1, description="factor in 1 -+ this; as in pretraining")
    contrast: float = Field(0.4, ge=0, lt=1, description="factor in 1 -+ this; as in pretraining")
    saturation: float = Field(0.2, ge=0, lt=1, description="factor in 1 -+ this; as in pretraining")
    hue: float = Field(
        0.1, ge=0, le=0.5, description="turns of the colour wheel; as in pretraining"
    )
    padding: Literal["zeros", "reflection", "border"] = Field(
        "border", description="what lies outside the photo; our choice"
    )

    def check_size(self, image_size: int, network: str) -> None:
        """Check that the images are as large as a network takes them.

        Args:
            image_size: side of the network's input, px.
            network: what to call it in the message.

        Raises:
            ValueError: they are not.
        """
        if image_size != self.image_size:
            raise ValueError(
                f"expected one input size, got image_size {image_size} of the {network} and "
                f"{self.image_size} of the augmentation; set both to the same"
            )


class ResizedImages(NamedTuple):
    """The network's input: normalised images and the camera that goes with their size."""

    images: Float[Tensor, "batch 3 size size"]
    intrinsics: Float[Tensor, "batch 3 3"]


class HandAugmentation(nn.Module):
    """A loaded batch to the network's input: one warp and one colour map for all images.

    In training mode the image and all its labels are scaled, moved, turned and recoloured; in
    evaluation mode the image is only resized and normalised, and the camera with it.

    Labels are exact, not approximated: for the image's affine matrix A, `A K = K' R` splits the
    camera that sees the warped image into new intrinsics K' and a rotation R of the scene
    (`camera.factor_intrinsics`), so 3D labels turn by R and project through K' onto the warped 2D
    ones. Drawn from torch's global generator.
    """

    def __init__(self, cfg: HandAugmentationConfig) -> None:
        super().__init__()
        self.cfg = cfg

    def forward(self, batch: HandBatch) -> HandBatch:
        """The batch with float, ImageNet-normalised images of `image_size`, labels transformed."""
        with torch.autocast(batch.images.device.type, enabled=False):  # labels stay exact
            if not self.training:
                images, intrinsics = self.resize(batch.images, batch.intrinsics)
                matrix = self.whole_image(batch.images)
                joints_2d = _labelled(affine2d.apply_affine(matrix, batch.joints_2d), batch)
                return replace(
                    batch,
                    images=images,
                    intrinsics=intrinsics,
                    joints_2d=joints_2d,
                    keypoints=move_keypoints(batch.keypoints, matrix),
                )
            matrix = self.draw_matrices(batch.images)
            images = self._jitter(self._warp(batch.images, matrix)).clamp(0, 1)
            return transform_labels(replace(batch, images=imagenet_normalize(images)), matrix)

    def resize(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
    ) -> ResizedImages:
        """uint8 square crops to the network's input size, with the camera of that size."""
        with torch.autocast(images.device.type, enabled=False):
            matrix = self.whole_image(images)
            warped = self._warp(images, matrix)
            return ResizedImages(imagenet_normalize(warped), matrix @ intrinsics)

    def network_input(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
    ) -> ResizedImages:
        """What a network sees of the images it is to predict from, with the camera of that size.

        Args:
            images: uint8 square crops of any size, or normalised images of the input size.
            intrinsics: camera of `images`.

        Raises:
            ValueError: float images of another size than the network's input.
        """
        if not images.is_floating_point():
            return self.resize(images, intrinsics)
        side = self.cfg.image_size
        if images.shape[-2:] != (side, side):
            raise ValueError(
                f"expected normalised images of {side} x {side} px, got "
                f"{images.shape[-2]} x {images.shape[-1]}; give uint8 images to have them resized"
            )
        return ResizedImages(images, intrinsics)

    def draw_matrices(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 3"]:
        """Random maps from source pixels to input pixels: about the centre, then shifted."""
        cfg, batch, device = self.cfg, len(images), images.device
        size = torch.full((batch, 2), float(cfg.image_size), device=device)
        angle = _uniform(batch, math.radians(cfg.rotation_deg), device)
        zoom = 1 + _uniform(batch, cfg.scale, device)
        shift = torch.stack([_uniform(batch, cfg.translation, device) for _ in range(2)], -1) * size
        about_centre = affine2d.translation(size / 2) @ affine2d.scaling(
            zoom[:, None].expand(-1, 2)
        )
        turned = affine2d.rotation(angle, torch.zeros_like(size))
        moved = affine2d.translation(shift) @ about_centre @ turned
        return moved @ affine2d.translation(-size / 2) @ self.whole_image(images)

    def whole_image(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 3"]:
        """Maps from source pixels to those of the network's input, by `resize`."""
        height, width = images.shape[-2:]
        factor = torch.tensor([self.cfg.image_size / width, self.cfg.image_size / height])
        return affine2d.scaling(factor.to(images.device).expand(len(images), 2))

    def _warp(self, images: Tensor, matrix: Tensor) -> Tensor:
        scaled = images.float() / 255
        size = self.cfg.image_size
        if not self.training and images.shape[-2:] == (size, size):
            return scaled
        return affine2d.warp_images(scaled, matrix, (size, size), self.cfg.padding)

    def _jitter(self, images: Float[Tensor, "batch 3 size size"]) -> Tensor:
        cfg, batch, device = self.cfg, len(images), images.device
        always = torch.ones(batch, dtype=torch.bool, device=device)
        colours = jitter_maps(
            brightness=1 + _uniform(batch, cfg.brightness, device),
            contrast=1 + _uniform(batch, cfg.contrast, device),
            saturation=1 + _uniform(batch, cfg.saturation, device),
            hue=_uniform(batch, cfg.hue, device),
            order=torch.rand(batch, 4, device=device).argsort(1),
            jitter=always,
            gray=~always,
        )
        return recolour(images, colours.at(images.mean((2, 3))))


def transform_labels(batch: HandBatch, matrix: Float[Tensor, "batch 3 3"]) -> HandBatch:
    """The labels of a batch whose images have been warped by `matrix` (old to new pixels).

    The wrist's rotation turns with the scene; finger rotations are relative to it and stay. A posed
    `ManoHand` with the new pose, put back on the new root joint, is the turned mesh.

    Raises:
        ValueError: a matrix mirrors the image (on the CPU, see `camera.factor_intrinsics`).
    """
    intrinsics, turn = factor_intrinsics(matrix @ batch.intrinsics)
    wrist = turn[:, None] @ batch.mano_pose[:, :1]
    return replace(
        batch,
        intrinsics=intrinsics,
        joints_2d=_labelled(affine2d.apply_affine(matrix, batch.joints_2d), batch),
        joints_3d=batch.joints_3d @ turn.mT,
        vertices=batch.vertices @ turn.mT,
        mano_pose=torch.cat([wrist, batch.mano_pose[:, 1:]], dim=1),
        keypoints=move_keypoints(batch.keypoints, matrix, turn),
    )


def move_keypoints(
    keypoints: Keypoints | None,
    matrix: Float[Tensor, "batch 3 3"],
    turn: Float[Tensor, "batch 3 3"] | None = None,
) -> Keypoints | None:
    """Detected joints in the pixels that `matrix` (old to new) makes.

    Args:
        turn: the rotation of the scene that goes with it, for the 3D joints; None: it turns none.
    """
    if keypoints is None:
        return None
    points, deep = affine2d.apply_affine(matrix, keypoints.points), keypoints.points_3d
    if deep is not None and turn is not None:
        deep = deep @ turn.mT
    return keypoints._replace(points=points, points_3d=deep)


def _labelled(joints_2d: Tensor, batch: HandBatch) -> Tensor:
    """Keep the promise that an unlabelled joint is zero."""
    return joints_2d * batch.has_joints_2d[..., None]


def _uniform(batch: int, half_range: float, device: torch.device) -> Float[Tensor, " batch"]:
    return (torch.rand(batch, device=device) * 2 - 1) * half_range
