"""Configuration of PyMAF as HandMIM fine-tunes it: head, losses and frozen part of the backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from hand_pipeline.config import ANY, Config
from hand_pipeline.models.feature_pyramid import Norm


class PyMAFConfig(Config):
    """PyMAF (Zhang et al. 2021), its hand expert in PyMAF-X (2023), and HandMIM's losses."""

    retired: ClassVar[Mapping[str, Any]] = {
        "points": "mesh", "fusion": False, "fusion_width": ANY,
    }  # fmt: skip

    iterations: int = Field(
        3, ge=1, le=4, description="corrections; HandMIM: 'three rectifier layers'"
    )
    grid_side: int = Field(
        21, ge=2, description="points per side of the first iteration's grid; PyMAF: 21"
    )
    num_vertices: int = Field(
        195, ge=4, le=778, description="vertices to sample features at; PyMAF-X: 195"
    )
    pyramid_channels: int = Field(256, gt=0, description="width of the feature maps; PyMAF: 256")
    pyramid_norm: Norm = Field("batch", description="PyMAF: batch; group for small batches")
    point_channels: tuple[int, ...] = Field(
        (128, 64, 5), min_length=1, description="widths of the per-point MLP; PyMAF: 128, 64, 5"
    )
    regressor_width: int = Field(1024, gt=0, description="hidden width; PyMAF: 1024")
    regressor_dropout: float = Field(0.5, ge=0, lt=1, description="PyMAF: 0.5")
    regressor_activation: Literal["none", "relu"] = Field(
        "none", description="between the two hidden layers; PyMAF has none"
    )
    camera_joint: int = Field(
        9,
        ge=0,
        le=20,
        description="joint whose position in the crop is regressed; our choice: the middle "
        "knuckle, near the crop's centre",
    )

    weight_mano_pose: float = Field(60.0, ge=0, description="squared matrix error; PyMAF: 60")
    weight_mano_betas: float = Field(0.06, ge=0, description="squared std. deviations; PyMAF: 0.06")
    weight_mano_camera: float = Field(
        30.0, ge=0, description="squared crop units (s / 10, tx, ty); our choice"
    )
    weight_vertices: float = Field(300.0, ge=0, description="metres; our choice")
    weight_local_vertices: float = Field(
        0.0,
        ge=0,
        description="metres; vertices in the wrist's frame, so that fingers and shape are learnt "
        "before the orientation; our addition, 0 in the paper",
    )
    weight_joints_3d: float = Field(300.0, ge=0, description="metres; PyMAF: 300")
    weight_joints_2d: float = Field(30.0, ge=0, description="share of the image side; our choice")
    weight_positive_scale: float = Field(1.0, ge=0, description="PyMAF: 1")
    weight_own_joints_2d: float = Field(
        0.0,
        ge=0,
        description="nats; above 0 heat maps of the finest map find 2D joints, where the first "
        "correction also looks and which every correction is told; our addition, 0 in the papers",
    )
    root: int | None = Field(
        0,
        ge=0,
        le=20,
        description="joint that 3D losses are relative to (PyMAF-X: the wrist); null: absolute",
    )
    frozen_blocks: int = Field(
        0, ge=0, description="number of initial ViT blocks kept frozen (HandMIM: 0 to 12)"
    )
    backbone_lr_scale: float = Field(
        1.0, gt=0, description="learning rate of the ViT relative to the head's; paper: 1"
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null: the open hand"
    )
    tips: str = Field(
        "freihand",
        description="data set whose fingertip vertices to use (`mano.TIP_VERTICES`)",
    )
