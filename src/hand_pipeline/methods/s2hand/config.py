"""S2HAND's configuration: what supervises, which stage, and how paper and public code are read.

The public code differs from the paper in many places. `paper()` and `public_code()` are the two
readings, `QUIRKS` lists all that tells them apart; a plain `S2HandConfig()` is what we advise.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.methods.s2hand.geometry import HandCodeConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.weights import PICTURE_TERMS, STAGE_TERMS, S2HandWeights

REFERENCE_SIZE = 224
"""px; side of the image that 2D distances are given for, whatever the input's size."""
PARTS = ("encoder", "geometry", "appearance", "hourglass")
"""The networks, each trained in the stages that need it."""


class S2HandConfig(HandCodeConfig, S2HandWeights):
    """Supervision, stage, readings of the paper; the code and the weights are inherited."""

    supervision: Literal["self", "weak", "full"] = Field(
        "self", description="detected keypoints; true 2D joints; true 2D and 3D joints"
    )
    stage: Literal["2d", "3d", "joint"] = Field(
        "joint", description="the 2D branch alone, geometry alone, everything (section 4.1)"
    )
    hourglass: HourglassConfig = Field(HourglassConfig(), description="the 2D branch")
    texture: Literal["vertex", "face"] = Field(
        "vertex", description="a colour for each vertex (paper), or for each face (code)"
    )
    light_start: Literal["bias", "weights"] = Field(
        "bias", description="first light from biases (ours), or from weights of mean 1 (code)"
    )
    keypoint_weights: bool = Field(
        True, description="weigh wrist (2) and tips (1.5) in E_loc as the code does; paper: no"
    )
    keypoint_2d_distance: Literal["smooth", "plain"] = Field(
        "smooth", description="of E_2D: smooth L1 (paper: 'as eq. 3'), or the distance (code)"
    )
    least_confidence: float | None = Field(
        0.1,
        ge=0,
        lt=1,
        description="colours of images with a joint at or below it count for nothing (code: 0.1 "
        "on FreiHAND); null: the paper's sum over joints",
    )
    confidence_factor: float = Field(
        1.0, gt=0, description="of C_b; the code's is 1.1, which only its slip in E_tex notices"
    )
    photo_region: Literal["visible", "image"] = Field(
        "visible",
        description="pixels that see the hand (paper), or the whole image, the render before white "
        "and the photo before black (code)",
    )
    texture_reference: Literal["own", "batch"] = Field(
        "own", description="whose mean colour E_tex takes; the code's slip takes all of the batch"
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )
    tips: str = Field("freihand", description="whose fingertip vertices are joints")

    def active_terms(self) -> dict[str, float]:
        """Terms of this stage and their weights; without those that count for nothing.

        Raises:
            ValueError: nothing is left.
        """
        left_out = set() if self.supervision == "full" else {"joints_3d"}
        if self.mean_shape:
            left_out.add("shape")
        weights = self.of_terms()
        active = {
            name: weights[name]
            for name in STAGE_TERMS[self.stage]
            if weights[name] > 0 and name not in left_out
        }
        if not active:
            raise ValueError(
                f"no term of stage {self.stage!r} has a weight; set one of its weights above 0"
            )
        return active

    def trained_parts(self) -> set[str]:
        """Networks (of `PARTS`) that this stage's terms depend on."""
        terms, parts = set(self.active_terms()), set()
        if terms & {"keypoint_2d", "consistency"}:
            parts.add("hourglass")
        if terms & {*PICTURE_TERMS, "texture"}:
            parts.add("appearance")
        if terms - {"keypoint_2d"}:
            parts |= {"encoder", "geometry"}
        return parts


QUIRKS: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "mean_shape": (False, True),
        "pooling": ("max", "mean"),
        "texture": ("vertex", "face"),
        "light_start": ("bias", "weights"),
        "keypoint_weights": (False, True),
        "keypoint_2d_distance": ("smooth", "plain"),
        "least_confidence": (None, 0.1),
        "confidence_factor": (1.0, 1.1),
        "photo_region": ("visible", "image"),
        "texture_reference": ("own", "batch"),
        "w_ssim": (0.2, 0.0),
        "w_mrgb": (0.0, 1e-3),
        "w_laplacian": (0.0, 0.1),
    }
)
"""Where the public code (second) departs from the paper (first), by field of `S2HandConfig`. Its
random in-plane rotation of FreiHAND is one of the augmentation (`public_code_augmentation`)."""


def paper(**changes: Any) -> S2HandConfig:
    """The paper as printed; what it leaves open is as the code has it, the light's start ours."""
    values = {name: reading[0] for name, reading in QUIRKS.items()}
    return S2HandConfig(**{"translation": "camera", **values, **changes})


def public_code(**changes: Any) -> S2HandConfig:
    """The authors' published FreiHAND configuration, with its quirks."""
    values = {name: reading[1] for name, reading in QUIRKS.items()}
    return S2HandConfig(**{"translation": "camera", **values, **changes})


def paper_augmentation(
    image_size: int = REFERENCE_SIZE, rotation_deg: float = 0.0
) -> HandAugmentationConfig:
    """None, as the paper has it for FreiHAND, but for a turn in the plane, degrees."""
    return HandAugmentationConfig(
        image_size=image_size, scale=0, translation=0, rotation_deg=rotation_deg, brightness=0,
        contrast=0, saturation=0, hue=0, padding="zeros",
    )  # fmt: skip


def public_code_augmentation(image_size: int = REFERENCE_SIZE) -> HandAugmentationConfig:
    """Turned by any angle about the middle, as the code's FreiHAND configuration does."""
    return paper_augmentation(image_size, rotation_deg=180.0)
