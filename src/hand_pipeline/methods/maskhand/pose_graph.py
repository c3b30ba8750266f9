"""Graphs over a hand: context tokens from 2D keypoints, and the refinement of token sequences."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.joints import BONES
from hand_pipeline.methods.maskhand.attention import Attention

NUM_JOINTS = len(BONES) + 1


def skeleton_adjacency() -> Float[Tensor, "joints joints"]:
    """The hand's bones with self-loops, symmetrically normalised: D^-1/2 (A + I) D^-1/2.

    Kipf and Welling 2017, eq. 2; joints in OpenPose's order.
    """
    adjacency = torch.eye(NUM_JOINTS)
    for parent, child in BONES:
        adjacency[parent, child] = adjacency[child, parent] = 1
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale


class KeypointGraph(nn.Module):
    """2D keypoints to one context token per joint, by graph convolutions along the bones.

    MaskHand (arXiv 2412.13393), section 3: a GCN makes the 2D-pose context from detected
    keypoints. Its depth and width are not published.

    Deviation: the paper does not treat undetected joints; we blend a joint's features with a
    learned "missing" vector by its confidence, so that coordinates of confidence 0 have no effect
    (they may be NaN) and tokens change smoothly with confidence.

    Args:
        width: of the tokens.
        num_layers: graph convolutions, each with a residual.
    """

    adjacency: Tensor

    def __init__(self, width: int, num_layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.missing = nn.Parameter(torch.randn(width) * 0.02)
        self.joint = nn.Parameter(torch.randn(NUM_JOINTS, width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(num_layers))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(num_layers))
        self.register_buffer("adjacency", skeleton_adjacency(), persistent=False)

    def forward(
        self,
        keypoints: Float[Tensor, "batch joints 2"],
        confidence: Float[Tensor, "batch joints"],
    ) -> Float[Tensor, "batch joints width"]:
        """Context tokens.

        Args:
            keypoints: x, y; the edges of the network's input are -1 and 1. OpenPose's order.
            confidence: 0 (not seen; coordinates are ignored) to 1; values outside are clamped.
        """
        # NaN times 0 is NaN, in the gradient too: unseen coordinates are replaced, not multiplied.
        seen = torch.nan_to_num(confidence).clamp(0, 1)[..., None]
        places = torch.where(seen > 0, keypoints, torch.zeros_like(keypoints))
        features = seen * self.embed(torch.cat([places, seen], dim=-1))
        tokens = features + (1 - seen) * self.missing + self.joint
        for norm, layer in zip(self.norms, self.layers):
            tokens = tokens + F.gelu(self.adjacency @ layer(norm(tokens)))
        return tokens


class SqueezeExcitation(nn.Module):
    """Scales channels by gates in 0..1, computed from the mean over tokens (Hu et al. 2018)."""

    def __init__(self, width: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.gate = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Sigmoid()
        )

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """The tokens, each channel scaled by its gate."""
        return tokens * self.gate(tokens.mean(1, keepdim=True))


class GraphRefinement(nn.Module):
    """One block of graph-based anatomical pose refinement (GAPR).

    MaskHand (arXiv 2412.13393), section 3, eqs. 1 and 2: a graph over the tokens whose adjacency
    is learned mixes them, then Q' = MHA(Norm(Q)) + Conv(Norm(Q)) + Q, and the result is
    SE(Norm(Q')). The convolution is pointwise, so it is a linear layer on each token.

    Deviation: the paper gives no formula of the graph step; ours is Q + A (W Norm(Q)) with a free
    matrix A that starts as the identity. As in the equation, the squeeze-excitation has no
    residual.

    Args:
        width: of the tokens.
        num_tokens: nodes of the graph, the length of every sequence.
        num_heads: attention heads.
        dropout: on attention weights and on each branch.
    """

    def __init__(self, width: int, num_tokens: int, num_heads: int = 8, dropout: float = 0.0):
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(num_tokens))
        self.norm_graph = nn.LayerNorm(width)
        self.graph = nn.Linear(width, width)
        self.norm_parallel = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads, dropout=dropout)
        self.convolution = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.excitation = SqueezeExcitation(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """The refined tokens."""
        mixed = self.adjacency @ self.graph(self.norm_graph(tokens))
        tokens = tokens + self.dropout(mixed)
        normed = self.norm_parallel(tokens)
        attended = self.attention(normed, self.attention.project_values(normed))
        tokens = self.dropout(attended) + self.dropout(self.convolution(normed)) + tokens
        return self.excitation(self.norm_out(tokens))
