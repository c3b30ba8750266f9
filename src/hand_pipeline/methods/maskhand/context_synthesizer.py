"""MaskHand's context-guided masked transformer: from partly masked pose tokens to their logits."""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.methods.maskhand.attention import Attention, FeedForward
from hand_pipeline.methods.maskhand.config import ContextSynthesizerConfig
from hand_pipeline.methods.maskhand.deformable_attention import DeformableAttention
from hand_pipeline.methods.maskhand.feature_scales import FeatureScales
from hand_pipeline.methods.maskhand.pose_graph import NUM_JOINTS, GraphRefinement, KeypointGraph


class Context(NamedTuple):
    """What is computed once per image and used by every sampling pass.

    Attributes:
        values: projected values of each layer's cross-attention.
        pose: tokens of the 2D keypoints; None if they are not used.
    """

    values: list[tuple[Tensor, ...]]
    pose: Float[Tensor, "batch joints width"] | None


class SynthesizerLayer(nn.Module):
    """Self-attention, cross-attention to the image, feed-forward, each with norm and residual.

    Deviation: the paper does not say where the norms are (Deformable DETR: after each branch); ours
    come before, which trains without warm-up. The self-attention reads the 2D pose tokens but does
    not change them, which makes the layers a quarter cheaper.
    """

    def __init__(self, cfg: ContextSynthesizerConfig) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(cfg.width)
        self.self_attention = Attention(cfg.width, cfg.heads, dropout=cfg.dropout)
        self.norm_cross = nn.LayerNorm(cfg.width)
        self.cross_attention: DeformableAttention | Attention = (
            DeformableAttention(cfg.width, len(cfg.used_scales), cfg.heads, cfg.points)
            if cfg.context == "maps"
            else Attention(cfg.width, cfg.heads, dropout=cfg.dropout)
        )
        self.norm_feedforward = nn.LayerNorm(cfg.width)
        self.feedforward = FeedForward(cfg.width, cfg.feedforward_width, cfg.dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        pose: Float[Tensor, "batch joints width"] | None,
        reference_points: Float[Tensor, "batch tokens 2"] | None,
        values: tuple[Tensor, ...],
        positions: Int64[Tensor, "batch chosen"] | None = None,
    ) -> Float[Tensor, "batch _ width"]:
        """The tokens after this layer.

        Args:
            tokens: all pose tokens.
            pose: 2D context, which is only read.
            reference_points: of each token in the maps; None for a context of tokens.
            values: from this layer's `cross_attention.project_values`.
            positions: compute and return only these tokens; all are still read.
        """
        normed = self.norm_self(tokens)
        read = normed if pose is None else torch.cat([normed, self.norm_self(pose)], dim=1)
        if positions is not None:
            tokens, normed = _chosen(tokens, positions), _chosen(normed, positions)
            if reference_points is not None:
                reference_points = _chosen(reference_points, positions)
        mixed = self.self_attention(normed, self.self_attention.project_values(read))
        tokens = tokens + self.dropout(mixed)
        queries = self.norm_cross(tokens)
        if reference_points is None:
            found = self.cross_attention(queries, values)
        else:
            found = self.cross_attention(queries, reference_points, values)
        tokens = tokens + self.dropout(found)
        return tokens + self.dropout(self.feedforward(self.norm_feedforward(tokens)))


class ContextSynthesizer(nn.Module):
    """Logits over the codebook for every pose token, given the image and the tokens known so far.

    MaskHand (arXiv 2412.13393), section 3: token embeddings with a learned [MASK], GAPR over pose
    tokens and 2D context, N layers of self-attention, multi-scale deformable cross-attention with
    learnable reference points, feed-forward; a linear layer to K logits.

    Deviation: reference points are the sigmoid of a linear layer on each token after GAPR, so that
    the 2D pose moves them (the caption of figure 16 says it guides them); the paper gives neither a
    formula nor widths.

    Args:
        cfg: architecture.
        num_tokens: pose tokens of a hand, L.
        num_codes: codes of the tokenizer, K.
        embed_dim: width of the image's patch tokens (or of the text's tokens).

    Attributes:
        mask_id: the id that stands for [MASK]: K.
    """

    def __init__(
        self, cfg: ContextSynthesizerConfig, num_tokens: int, num_codes: int, embed_dim: int
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.num_tokens = num_tokens
        self.num_codes = num_codes
        self.mask_id = num_codes
        self.embedding = nn.Embedding(num_codes + 1, cfg.width)
        self.positions = nn.Parameter(torch.empty(num_tokens, cfg.width))
        maps = cfg.context == "maps"
        self.scales = FeatureScales(embed_dim, cfg.width, cfg.used_scales) if maps else None
        self.entry = None if maps else nn.Linear(embed_dim, cfg.width)
        self.pose = KeypointGraph(cfg.width) if cfg.use_pose_2d else None
        nodes = num_tokens + (NUM_JOINTS if cfg.use_pose_2d else 0)
        blocks = cfg.refinement_blocks if cfg.use_graph_refinement else 0
        self.refinement = nn.ModuleList(
            GraphRefinement(cfg.width, nodes, cfg.heads, cfg.dropout) for _ in range(blocks)
        )
        self.reference_points = nn.Linear(cfg.width, 2) if maps else None
        self.layers = nn.ModuleList(SynthesizerLayer(cfg) for _ in range(cfg.layers))
        self.norm_out = nn.LayerNorm(cfg.width)
        self.logits = nn.Linear(cfg.width, num_codes)
        for table in (self.embedding.weight, self.positions):
            nn.init.trunc_normal_(table, std=0.02)

    def masked(self, hands: int) -> Int64[Tensor, "hands tokens"]:
        """Ids of hands with all tokens masked."""
        return torch.full((hands, self.num_tokens), self.mask_id, device=self.positions.device)

    def encode_context(
        self,
        features: Float[Tensor, "batch patches embed"],
        keypoints: Float[Tensor, "batch joints 2"] | None = None,
        confidence: Float[Tensor, "batch joints"] | None = None,
    ) -> Context:
        """Compute what does not depend on the pose tokens, once per image.

        Args:
            features: patch tokens of the image, a square grid row by row (or the text's tokens).
            keypoints: 2D joints, x, y, in OpenPose's order; the edges of the network's input are
                -1 and 1. None: all joints are missing. Ignored without `use_pose_2d`.
            confidence: of the keypoints, 0 (not seen) to 1; None: 1.

        Raises:
            ValueError: the patches are no square grid, or a confidence comes without keypoints.
        """
        layers = cast("list[SynthesizerLayer]", self.layers)
        if self.scales is not None:
            maps = self.scales(features)
            values = [layer.cross_attention.project_values(maps) for layer in layers]
        else:
            assert self.entry is not None  # one of the two is built
            tokens = self.entry(features)
            values = [layer.cross_attention.project_values(tokens) for layer in layers]
        return Context(values, self._pose_tokens(features, keypoints, confidence))

    def forward(
        self,
        ids: Int64[Tensor, "hands tokens"],
        context: Context,
        positions: Int64[Tensor, "hands chosen"] | None = None,
    ) -> Float[Tensor, "hands _ codes"]:
        """Logits of the code at every position.

        Args:
            ids: codes, `mask_id` where unknown; one row per image of the context, or K successive
                rows (hypotheses) per image.
            context: from `encode_context`.
            positions: compute the last layer and the logits only there.

        Raises:
            ValueError: wrong number of tokens, or rows that are no multiple of the images.
        """
        batch = len(context.values[0][0])
        if ids.shape[1] != self.num_tokens or len(ids) % batch:
            raise ValueError(
                f"expected ids of {self.num_tokens} tokens for a multiple of {batch} images, "
                f"got {tuple(ids.shape)}"
            )
        tokens = self.embedding(ids) + self.positions
        pose = context.pose
        if pose is not None and len(pose) != len(ids):
            pose = pose.repeat_interleave(len(ids) // batch, dim=0)
        tokens, pose = self._refine(tokens, pose)
        references = None if self.reference_points is None else self._places(tokens)
        *earlier, last = self.layers
        for layer, values in zip(earlier, context.values):
            tokens = layer(tokens, pose, references, values)
        tokens = last(tokens, pose, references, context.values[-1], positions)
        return self.logits(self.norm_out(tokens))

    def _refine(self, tokens: Tensor, pose: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """GAPR over pose tokens and 2D context together."""
        if not self.refinement:
            return tokens, pose
        joined = tokens if pose is None else torch.cat([tokens, pose], dim=1)
        for block in self.refinement:
            joined = block(joined)
        codes = joined[:, : self.num_tokens]
        return codes, None if pose is None else joined[:, self.num_tokens :]

    def _places(self, tokens: Tensor) -> Tensor:
        assert self.reference_points is not None  # the caller looked
        weight, bias = self.reference_points.weight, self.reference_points.bias
        return _places(tokens, weight, bias)

    def _pose_tokens(
        self, features: Tensor, keypoints: Tensor | None, confidence: Tensor | None
    ) -> Tensor | None:
        if confidence is not None and keypoints is None:
            raise ValueError("got a confidence without keypoints; give both or none")
        if self.pose is None:
            return None
        if keypoints is None:
            keypoints = features.new_zeros(len(features), NUM_JOINTS, 2)
            confidence = features.new_zeros(len(features), NUM_JOINTS)
        elif confidence is None:
            confidence = keypoints.new_ones(keypoints.shape[:2])
        return self.pose(keypoints, confidence)


def _chosen(tokens: Tensor, positions: Tensor) -> Tensor:
    return tokens.gather(1, positions[..., None].expand(-1, -1, tokens.shape[2]))


@full_precision
def _places(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Reference points in 0..1, in float32."""
    return nn.functional.linear(tokens, weight, bias).sigmoid()
