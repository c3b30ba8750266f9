"""PyMAF's feedback loop: look at the image where the mesh lies now, correct it, look again."""

from typing import Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.config import Config
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import matrix_to_rotation_6d, rotation_6d_to_matrix
from hand_pipeline.models.crop_camera import (
    INITIAL_SCALE,
    HandEstimate,
    place_hand,
    project_in_front,
)
from hand_pipeline.models.feature_pyramid import FeaturePyramid, Norm

POSE_WIDTH, BETAS_WIDTH, CAMERA_WIDTH = 16 * 6, 10, 3


class PyMAFHeadConfig(Config):
    """The head's architecture: PyMAF (Zhang et al. 2021) and its hand expert in PyMAF-X (2023)."""

    iterations: int = Field(
        3, ge=1, le=4, description="corrections; HandMIM: 'three rectifier layers'"
    )
    grid_side: int = Field(
        21, ge=2, description="points a side of the first iteration's grid; PyMAF: 21"
    )
    points: Literal["mesh", "joints21"] = Field(
        "mesh",
        description="what is looked at from the 2nd iteration on: vertices (PyMAF-X) or the 21 "
        "joints (HandMIM's text says 'keypoint feedback loop')",
    )
    num_vertices: int = Field(
        195, ge=4, le=778, description="vertices looked at, evenly spread; PyMAF-X: 195"
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
    fusion: bool = Field(
        False, description="attention over grid and mesh features from iteration 2 on (PyMAF-X)"
    )
    fusion_width: int = Field(64, gt=0, description="width of that attention; our choice")
    camera_joint: int = Field(
        9,
        ge=0,
        le=20,
        description="joint whose place in the crop is regressed; our choice: the middle knuckle, "
        "near the centre of a hand's crop",
    )


class PointExtractor(nn.Module):
    """The same small MLP at every sampled point, fed with the point's feature at every layer.

    PyMAF: 1 x 1 convolutions 256-128-64-5 with LeakyReLU (0.01) between them.

    Deviation: PyMAF ends in a ReLU; we use LeakyReLU there too, because the 5 outputs are shared by
    all points and one that dies is dead everywhere.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        inputs = [channels, *(width + channels for width in widths[:-1])]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(inputs, widths))

    def forward(
        self, features: Float[Tensor, "batch points channels"]
    ) -> Float[Tensor, "batch points width"]:
        """Features of each point."""
        hidden = F.leaky_relu(self.layers[0](features))
        for layer in self.layers[1:]:
            hidden = F.leaky_relu(layer(torch.cat([hidden, features], dim=-1)))
        return hidden


class PointFusion(nn.Module):
    """One-head self-attention over grid and mesh points (PyMAF-X's spatial alignment attention).

    Deviation: PyMAF-X attends between features of the flattened sets; we attend between points,
    with a residual, so that the width does not grow with their number.
    """

    def __init__(self, width: int, hidden: int, num_points: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width, hidden)
        self.position = nn.Parameter(torch.randn(num_points, hidden) * 0.02)
        self.attention = nn.MultiheadAttention(hidden, 1, batch_first=True)
        self.out = nn.Linear(hidden, width)

    def forward(
        self, points: Float[Tensor, "batch points width"]
    ) -> Float[Tensor, "batch points width"]:
        """Features after each point has looked at all others."""
        tokens = self.embed(points) + self.position
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return points + self.out(mixed)


class Rectifier(nn.Module):
    """One iteration's own extractor and regressor: features at points, and a step of the state."""

    def __init__(self, cfg: PyMAFHeadConfig, num_points: int, num_grid: int) -> None:
        super().__init__()
        width = cfg.point_channels[-1]
        self.extractor = PointExtractor(cfg.pyramid_channels, cfg.point_channels)
        total = num_points + num_grid
        self.fusion = PointFusion(width, cfg.fusion_width, total) if num_grid else None
        activation = nn.ReLU() if cfg.regressor_activation == "relu" else nn.Identity()
        state_width = POSE_WIDTH + BETAS_WIDTH + CAMERA_WIDTH
        self.regressor = nn.Sequential(
            nn.Linear(total * width + state_width, cfg.regressor_width),
            activation,
            nn.Dropout(cfg.regressor_dropout),
            nn.Linear(cfg.regressor_width, cfg.regressor_width),
            activation,
            nn.Dropout(cfg.regressor_dropout),
        )
        self.decoders = nn.ModuleList(
            _timid_linear(cfg.regressor_width, out)
            for out in (POSE_WIDTH, BETAS_WIDTH, CAMERA_WIDTH)
        )

    def forward(
        self,
        features: Float[Tensor, "batch points width"],
        grid: Float[Tensor, "batch grid_points width"] | None,
        state: Float[Tensor, "batch state"],
    ) -> Float[Tensor, "batch state"]:
        """The state after a step, from what this iteration's `extractor` made of its points."""
        if self.fusion is not None and grid is not None:
            features = self.fusion(torch.cat([grid, features], dim=1))
        hidden = self.regressor(torch.cat([features.flatten(1), state], dim=-1))
        return state + torch.cat([decoder(hidden) for decoder in self.decoders], dim=-1)


class PyMAFHead(nn.Module):
    """Patch tokens to a MANO hand, in `iterations` corrections of the mean hand.

    PyMAF, section 3.2: iteration i samples map i of the pyramid, first on a grid and then at the
    projected mesh, and a regressor of its own adds a step to the state (6D rotations of 16 joints,
    10 betas, camera s, tx, ty). The state is detached between iterations.

    Deviation: the camera is the crop's true one (HandMIM projects with the true K), and points are
    sampled with the image's edges at -1 and 1 (`align_corners=False`), as everywhere here.

    Args:
        cfg: architecture.
        embed_dim: width of the patch tokens.
        image_size: side of the network's input, pixels.
        mano: the hand model; it is used, not owned, so its buffers stay out of checkpoints.
    """

    subset: Tensor | None
    grid: Tensor
    initial_state: Tensor

    def __init__(
        self, cfg: PyMAFHeadConfig, embed_dim: int, image_size: int, mano: ManoHand
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.camera_joint = cfg.camera_joint
        self.fusion = cfg.fusion
        self.pyramid = FeaturePyramid(
            embed_dim, cfg.pyramid_channels, cfg.iterations, cfg.pyramid_norm
        )
        num_points = 21 if cfg.points == "joints21" else cfg.num_vertices
        num_grid = cfg.grid_side**2
        fused = num_grid if cfg.fusion else 0
        self.rectifiers = nn.ModuleList(
            Rectifier(cfg, num_points if i else num_grid, fused if i else 0)
            for i in range(cfg.iterations)
        )
        subset = None if cfg.points == "joints21" else mano.vertex_subset(num_points)
        self.register_buffer("subset", subset, persistent=False)
        self.register_buffer("grid", _grid(cfg.grid_side), persistent=False)
        self.register_buffer("initial_state", _mean_state(mano))

    def forward(
        self,
        patches: Float[Tensor, "batch patches width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        mano: ManoHand,
    ) -> list[HandEstimate]:
        """The hand after every iteration, the last being the answer.

        Args:
            patches: the transformer's patch tokens.
            intrinsics: camera of the network's input (crop and resize included).
            mano: the hand model.
        """
        maps = self.pyramid(patches)
        rectifiers = cast("list[Rectifier]", self.rectifiers)
        state = self.initial_state.expand(len(patches), -1)
        points = self.grid.expand(len(patches), -1, -1)
        grid_features: Tensor | None = None
        estimates: list[HandEstimate] = []
        for feature_map, rectifier in zip(maps, rectifiers):
            features = rectifier.extractor(sample_at(feature_map, points))
            state = rectifier(features, grid_features, state.detach())
            if self.fusion and grid_features is None:
                grid_features = features
            hand = self.pose_hand(state, intrinsics, mano)
            estimates.append(hand)
            points = self._points_of(hand, intrinsics)
        return estimates

    def pose_hand(
        self,
        state: Float[Tensor, "batch state"],
        intrinsics: Float[Tensor, "batch 3 3"],
        mano: ManoHand,
    ) -> HandEstimate:
        """The hand a state describes, in single precision whatever autocast says."""
        with torch.autocast(state.device.type, enabled=False):
            pose_6d, betas, camera = state.float().split(
                [POSE_WIDTH, BETAS_WIDTH, CAMERA_WIDTH], dim=-1
            )
            mano_pose = rotation_6d_to_matrix(pose_6d.unflatten(-1, (16, 6)))
            return place_hand(
                mano_pose, betas, camera, intrinsics, mano, self.image_size, self.camera_joint
            )

    def _points_of(self, hand: HandEstimate, intrinsics: Tensor) -> Tensor:
        """Where the next iteration looks: crop coordinates in -1..1, without gradient."""
        if self.subset is None:
            pixels = hand.joints_2d.detach()
        else:
            pixels = project_in_front(hand.vertices.detach()[:, self.subset], intrinsics)
        return pixels * (2 / self.image_size) - 1


def sample_at(
    feature_map: Float[Tensor, "batch channels rows columns"],
    points: Float[Tensor, "batch points 2"],
) -> Float[Tensor, "batch points channels"]:
    """Bilinear features at `points` (x, y; the map's edges are -1 and 1); 0 outside the map."""
    sampled = F.grid_sample(feature_map, points[:, None].to(feature_map.dtype), align_corners=False)
    return sampled[:, :, 0].mT


def _timid_linear(inputs: int, outputs: int) -> nn.Linear:
    """A decoder whose first steps are small, so that training starts at the mean hand (PyMAF)."""
    decoder = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(decoder.weight, gain=0.01)
    nn.init.zeros_(decoder.bias)
    return decoder


def _grid(side: int) -> Float[Tensor, "1 points 2"]:
    """Centres of `side` x `side` cells over the crop, row by row."""
    centres = (torch.arange(side) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(1, -1, 2)


def _mean_state(mano: ManoHand) -> Float[Tensor, " state"]:
    """Mean finger pose, wrist and shape at 0, in the middle of the crop."""
    pose = mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    pose_6d = matrix_to_rotation_6d(pose).reshape(-1)
    camera = torch.tensor([INITIAL_SCALE, 0.0, 0.0])
    return torch.cat([pose_6d, torch.zeros(BETAS_WIDTH), camera])
