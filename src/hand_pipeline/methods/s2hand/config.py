"""S2HAND's configuration: supervision, training stage, readings of the paper, loss weights.

    L = w_3D E_3D + w_2D E_2D + w_con E_con
    E_3D = w_geo E_geo + w_photo E_photo + w_regu E_regu
    E_geo = E_loc + w_bone E_ori
    E_photo = E_pixel + w_SSIM E_SSIM
    E_regu = E_beta + w_tex E_tex + w_s E_s + w_J E_J          (Chen et al., CVPR 2021, section 3.5)

Our copy of the paper lacks the weights, and the code has only their nine products. The eleven
defaults here give these products; how the paper factors them is our inference.

Where the public code departs from the paper, docs/deviations.md says which one we follow. Sizes of
the networks are configured in `hourglass` and `efficientnet_encoder`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig

REFERENCE_SIZE = 224
"""Side of the image in whose px all 2D distances are measured, whatever the input's size."""
PARTS = ("encoder", "geometry", "appearance", "hourglass")
"""The networks; each is trained only in the stages that need it."""
GEOMETRY_TERMS = (
    "joint_location", "bone_direction", "joints_3d", "wrist_relative", "root_depth", "shape",
    "scale", "joint_limits",
)  # fmt: skip
SPATIAL_TERMS = frozenset({"joints_3d", "wrist_relative", "root_depth"})
"""Terms of full supervision alone."""
PICTURE_TERMS = ("pixel", "ssim", "mean_colour")
BRANCH_TERMS = frozenset({"keypoint_2d", "heatmap"})
"""Terms of the 2D branch alone."""
_ALSO_JOINT = ("texture", "laplacian", "keypoint_2d", "heatmap", "consistency")
STAGE_TERMS: dict[str, tuple[str, ...]] = {
    "2d": ("keypoint_2d", "heatmap"),
    "3d": GEOMETRY_TERMS,
    "joint": (*GEOMETRY_TERMS, *PICTURE_TERMS, *_ALSO_JOINT),
}
"""Loss terms of each training stage: only the 2D branch; geometry without the photo's colours (the
code's 'SSL-shape'); everything."""


class S2HandConfig(Config):
    """Supervision, stage, readings of the paper, and loss weights.

    A term of weight 0 is not computed.
    """

    retired: ClassVar[Mapping[str, Any]] = {
        "mean_shape": False, "texture": "vertex", "light_start": "bias",
        "keypoint_2d_distance": "smooth", "confidence_factor": 1.0, "photo_region": "visible",
        "texture_reference": "own", "pose_components": 30, "initial_scale": 0.95,
    }  # fmt: skip

    supervision: Literal["self", "weak", "full"] = Field(
        "self", description="detected keypoints; true 2D joints; true 2D and 3D joints"
    )
    stage: Literal["2d", "3d", "joint"] = Field(
        "joint", description="only the 2D branch, only geometry, or everything (section 4.1)"
    )
    hourglass: HourglassConfig = Field(HourglassConfig(), description="the 2D branch")
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null: the open hand"
    )
    tips: str = Field("freihand", description="data set whose fingertip vertices to use")

    pooling: Literal["mean", "max", "grid"] = Field(
        "mean",
        description="of the last feature map: mean (code), max (paper), or grid: the whole map "
        "with 64 channels, for short trainings on small images",
    )
    initial_rotation: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0),
        description="axis-angle of the wrist for a regressed rotation of 0, rad; S2HAND: 0, "
        "fingers to the left, the back of the hand up. For hands held up: 0, 0, pi/2",
    )
    translation: Literal["camera", "crop"] = Field(
        "crop",
        description="camera: regress metres in the camera frame (paper); crop: regress for a "
        "nominal camera with FreiHAND's focal length, then convert to the true K",
    )
    start_std: float = Field(
        0.001,
        gt=0,
        description="standard deviation of the initial weights of translation, scale, texture and "
        "light; code: 0.001",
    )
    keypoint_weights: bool = Field(
        True, description="weigh wrist (2) and tips (1.5) in E_loc as the code does; paper: no"
    )
    least_confidence: float | None = Field(
        0.1,
        ge=0,
        lt=1,
        description="ignore colours of images with a joint at or below this confidence (code: 0.1 "
        "on FreiHAND); null: use all (paper)",
    )
    initial_depth: float | None = Field(
        None,
        gt=0,
        description="depth of a hand before training, metres (translation crop: in the nominal "
        "camera); S2HAND's code: 0.65; null: where the mean hand fills the image as the training "
        "set's hands do",
    )
    joint_limits: Literal["anatomical", "paper"] = Field(
        "anatomical", description="ranges of E_J: of active motion, or the paper's table 6"
    )
    bone_length: float | None = Field(
        None,
        gt=0,
        description="metres from the middle finger's knuckle to its next joint, in the data set "
        "(E_s); S2HAND's code: 0.0282, FreiHAND's; null: the hand model's mean",
    )

    w_3d: float = Field(1.0, ge=0, description="of E_3D")
    w_2d: float = Field(0.001, ge=0, description="of E_2D, px of a 224 px image")
    w_heatmap: float = Field(
        10.0,
        ge=0,
        description="of the heat maps' divergence from a Gaussian within E_2D, px a nat; not in "
        "the paper",
    )
    w_con: float = Field(0.0002, ge=0, description="of E_con, px of a 224 px image")
    w_geo: float = Field(0.001, ge=0, description="of E_geo; E_loc is in px of a 224 px image")
    w_photo: float = Field(0.005, ge=0, description="of E_photo; colours from 0 to 1")
    w_regu: float = Field(0.01, ge=0, description="of E_regu; E_beta in squared std. deviations")
    w_bone: float = Field(100.0, ge=0, description="of E_ori within E_geo")
    w_ssim: float = Field(0.2, ge=0, description="of E_SSIM within E_photo; the code's is 0")
    w_tex: float = Field(0.5, ge=0, description="of E_tex within E_regu")
    w_s: float = Field(10.0, ge=0, description="of E_s within E_regu, metres")
    w_j: float = Field(10.0, ge=0, description="of E_J within E_regu, radians")
    w_mrgb: float = Field(
        0.0,
        ge=0,
        description="of the mean colour, colours from 0 to 1; not in the paper; code: 1e-3",
    )
    w_laplacian: float = Field(
        0.0,
        ge=0,
        description="of the mesh's Laplacian, metres; not in the paper; the code's is 0.1",
    )
    w_joints_3d: float = Field(
        0.0,
        ge=0,
        description="of 3D joints in the camera under full supervision (eq. 16), square metres; "
        "code: 100. Most of it is the depth of the whole hand",
    )
    w_wrist_relative: float = Field(
        10.0,
        ge=0,
        description="of 3D joints relative to the wrist under full supervision, metres; our choice",
    )
    w_root_depth: float = Field(
        1.0, ge=0, description="of the wrist's depth under full supervision, metres; our choice"
    )

    def of_terms(self) -> dict[str, float]:
        """Weight of each term in the total loss, by the term's name."""
        geometry, photo, prior = (
            self.w_3d * part for part in (self.w_geo, self.w_photo, self.w_regu)
        )
        return {
            "joint_location": geometry,
            "bone_direction": geometry * self.w_bone,
            "joints_3d": self.w_joints_3d,
            "wrist_relative": self.w_wrist_relative,
            "root_depth": self.w_root_depth,
            "pixel": photo,
            "ssim": photo * self.w_ssim,
            "mean_colour": self.w_mrgb,
            "shape": prior,
            "texture": prior * self.w_tex,
            "scale": prior * self.w_s,
            "joint_limits": prior * self.w_j,
            "laplacian": self.w_laplacian,
            "keypoint_2d": self.w_2d,
            "heatmap": self.w_2d * self.w_heatmap,
            "consistency": self.w_con,
        }

    def active_terms(self) -> dict[str, float]:
        """Terms of this stage with a weight above 0, and their weights.

        Raises:
            ValueError: there is no such term.
        """
        left_out = set() if self.supervision == "full" else SPATIAL_TERMS
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
        """Networks (of `PARTS`) that this stage trains, because its terms depend on them."""
        terms, parts = set(self.active_terms()), set()
        if terms & {*BRANCH_TERMS, "consistency"}:
            parts.add("hourglass")
        if terms & {*PICTURE_TERMS, "texture"}:
            parts.add("appearance")
        if terms - BRANCH_TERMS:
            parts |= {"encoder", "geometry"}
        return parts
