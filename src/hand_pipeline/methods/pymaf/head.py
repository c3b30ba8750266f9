"""PyMAF's feedback loop: sample image features at the current mesh, correct it, repeat."""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.joints import OPENPOSE
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import matrix_to_rotation_6d, rotation_6d_to_matrix
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.models.crop_camera import (
    INITIAL_SCALE,
    HandEstimate,
    place_hand,
    project_in_front,
)
from hand_pipeline.models.feature_pyramid import FeaturePyramid
from hand_pipeline.models.keypoint_head import KeypointHead, OwnJoints

POSE_WIDTH, BETAS_WIDTH, CAMERA_WIDTH = 16 * 6, 10, 3
_OWN_WIDTH = 3 * len(OPENPOSE)


class Corrections(NamedTuple):
    """What the head makes of an image.

    Attributes:
        hands: after every iteration; the last one is the result.
        own_joints: 2D joints of its heat maps; None without them.
    """

    hands: list[HandEstimate]
    own_joints: OwnJoints | None = None


class PointExtractor(nn.Module):
    """A small MLP shared by all sampled points; every layer also gets the point's feature.

    PyMAF: 1 x 1 convolutions 256-128-64-5 with LeakyReLU (0.01) between them.

    Deviation: PyMAF ends in a ReLU; we use LeakyReLU there too, because all points share the 5
    outputs, and a dead one would be dead everywhere.
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


class Rectifier(nn.Module):
    """Extractor and regressor of one iteration: from features at points to a step of the state.

    Args:
        cfg: architecture.
        num_points: where features are sampled.
        told: width of what it is told besides.
    """

    def __init__(self, cfg: PyMAFConfig, num_points: int, told: int = 0) -> None:
        super().__init__()
        width = cfg.point_channels[-1]
        self.extractor = PointExtractor(cfg.pyramid_channels, cfg.point_channels)
        activation = nn.ReLU() if cfg.regressor_activation == "relu" else nn.Identity()
        state_width = POSE_WIDTH + BETAS_WIDTH + CAMERA_WIDTH
        self.regressor = nn.Sequential(
            nn.Linear(num_points * width + state_width + told, cfg.regressor_width),
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
        state: Float[Tensor, "batch state"],
        told: Float[Tensor, "batch told"] | None = None,
    ) -> Float[Tensor, "batch state"]:
        """The state after a step, from this iteration's `extractor` features."""
        given = [features.flatten(1), state, *([] if told is None else [told])]
        hidden = self.regressor(torch.cat(given, dim=-1))
        return state + torch.cat([decoder(hidden) for decoder in self.decoders], dim=-1)


class PyMAFHead(nn.Module):
    """Patch tokens to a MANO hand, in `iterations` corrections of the mean hand.

    PyMAF, section 3.2: iteration i samples map i of the pyramid, first on a grid and then at the
    projected mesh, and a regressor of its own adds a step to the state (6D rotations of 16 joints,
    10 betas, camera s, tx, ty). The state is detached between iterations.

    Deviation: the camera is the crop's true one (HandMIM projects with the true K), and points are
    sampled with the image's edges at -1 and 1 (`align_corners=False`), as everywhere here.

    Deviation, on request (`weight_own_joints_2d`): PyMAF learns dense correspondences on its maps,
    which localise; HandMIM says nothing of them. Ours are heat maps of joints on the finest map.
    The first iteration also samples at the joints that they find, and each is told how far these
    lie from the present hand's.

    Args:
        cfg: architecture.
        embed_dim: width of the patch tokens.
        image_size: side of the network's input, pixels.
        mano: the hand model; not a submodule, so its buffers stay out of checkpoints.
    """

    subset: Tensor
    grid: Tensor
    initial_state: Tensor

    def __init__(self, cfg: PyMAFConfig, embed_dim: int, image_size: int, mano: ManoHand) -> None:
        super().__init__()
        self.image_size = image_size
        self.camera_joint = cfg.camera_joint
        self.pyramid = FeaturePyramid(
            embed_dim, cfg.pyramid_channels, cfg.iterations, cfg.pyramid_norm
        )
        own = bool(cfg.weight_own_joints_2d)
        self.keypoint_head = KeypointHead(cfg.pyramid_channels) if own else None
        first, told = cfg.grid_side**2 + len(OPENPOSE) * own, _OWN_WIDTH * own
        self.rectifiers = nn.ModuleList(
            Rectifier(cfg, cfg.num_vertices if i else first, told) for i in range(cfg.iterations)
        )
        self.register_buffer("subset", mano.vertex_subset(cfg.num_vertices), persistent=False)
        self.register_buffer("grid", _grid(cfg.grid_side), persistent=False)
        self.register_buffer("initial_state", _mean_state(mano))

    def forward(
        self,
        patches: Float[Tensor, "batch patches width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        mano: ManoHand,
    ) -> Corrections:
        """The hand after every iteration.

        Args:
            patches: the transformer's patch tokens.
            intrinsics: camera of the network's input (crop and resize included).
            mano: the hand model.
        """
        maps = self.pyramid(patches)
        rectifiers = cast("list[Rectifier]", self.rectifiers)
        state = self.initial_state.expand(len(patches), -1)
        points = self.grid.expand(len(patches), -1, -1)
        own, told = None, None
        if self.keypoint_head is not None:
            own = self.keypoint_head(maps[-1].flatten(2).mT)
            points = torch.cat([points, own.points.detach().to(points)], dim=1)
            told = self._told(own, self.pose_hand(state, intrinsics, mano))
        estimates: list[HandEstimate] = []
        for feature_map, rectifier in zip(maps, rectifiers):
            features = rectifier.extractor(sample_at(feature_map, points))
            state = rectifier(features, state.detach(), told)
            hand = self.pose_hand(state, intrinsics, mano)
            estimates.append(hand)
            points = self._points_of(hand, intrinsics)
            told = None if own is None else self._told(own, hand)
        return Corrections(estimates, own)

    def pose_hand(
        self,
        state: Float[Tensor, "batch state"],
        intrinsics: Float[Tensor, "batch 3 3"],
        mano: ManoHand,
    ) -> HandEstimate:
        """The hand that a state describes, in float32 also under autocast."""
        with torch.autocast(state.device.type, enabled=False):
            pose_6d, betas, camera = state.float().split(
                [POSE_WIDTH, BETAS_WIDTH, CAMERA_WIDTH], dim=-1
            )
            mano_pose = rotation_6d_to_matrix(pose_6d.unflatten(-1, (16, 6)))
            return place_hand(
                mano_pose, betas, camera, intrinsics, mano, self.image_size, self.camera_joint
            )

    def _told(self, own: OwnJoints, hand: HandEstimate) -> Float[Tensor, "batch told"]:
        """How far the hand's joints lie from its own, half images, and their confidence."""
        away = own.points - (hand.joints_2d * (2 / self.image_size) - 1).clamp(-2, 2)
        return torch.cat([away.flatten(1), own.confidence], dim=-1).detach()

    def _points_of(self, hand: HandEstimate, intrinsics: Tensor) -> Tensor:
        """Points the next iteration samples: crop coordinates in -1..1, without gradient."""
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
    """A decoder with small initial outputs, so that training starts at the mean hand (PyMAF)."""
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
    """State with mean finger pose, wrist and shape at 0, in the middle of the crop."""
    pose = mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    pose_6d = matrix_to_rotation_6d(pose).reshape(-1)
    camera = torch.tensor([INITIAL_SCALE, 0.0, 0.0])
    return torch.cat([pose_6d, torch.zeros(BETAS_WIDTH), camera])
