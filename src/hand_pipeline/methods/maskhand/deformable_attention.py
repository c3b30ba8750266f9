"""Multi-scale deformable attention whose values are projected once and used by many queries."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.precision import full_precision


class DeformableAttention(nn.Module):
    """Every query samples a few points of each map, at positions and with weights of its own.

    Deformable DETR (Zhu et al. 2021), section 4.1, eq. 3, and MaskHand (arXiv 2412.13393), section
    3 (cross-attention of the context-infused masked synthesizer). For query z with reference point
    p, head m, level l, point k: the sum over m, l, k of A_mlk W'_m x_l(p + offset_mlk), with
    bilinear sampling, 0 outside the map; offsets are in cells of the level, A is a softmax over
    levels and points.

    `project_values` needs no queries and `forward` no maps, so that the maps are projected once.
    MaskHand's times (0.04, 0.08, 0.12 s for T = 1, 3, 5) suggest that its authors' implementation
    repeats that work in every iteration.

    Deviation: Deformable DETR normalises pixels of padded images by valid ratios; our crops fill
    their maps. Values stay in float32 under autocast, because grid sampling needs one dtype for
    values and positions, and bfloat16 positions are off by up to a quarter of a cell in 64.

    Args:
        width: of queries, maps and result.
        num_levels: maps.
        num_heads: heads.
        num_points: points per head and level.

    Raises:
        ValueError: `width` is not a multiple of `num_heads`.
    """

    def __init__(
        self, width: int = 256, num_levels: int = 2, num_heads: int = 8, num_points: int = 4
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_levels, self.num_heads, self.num_points = num_levels, num_heads, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(width, samples * 2)
        self.attention_weights = nn.Linear(width, samples)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self._initialise()

    def _initialise(self) -> None:
        """As published: one direction per head, points at 1, 2, ... cells, equal weights.

        The k-th point lies k cells away in the larger of the two coordinates, so that the ring is
        a square.
        """
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1).float()
        ring = directions[:, None, None] * steps[:, None]
        ring = ring.expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(ring.flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        for zero in self.attention_weights.parameters():
            nn.init.zeros_(zero)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def project_values(
        self, maps: Sequence[Float[Tensor, "batch width _rows _columns"]]
    ) -> tuple[Tensor, ...]:
        """Values to sample: one (batch, heads, width / heads, rows, columns) tensor per map.

        Raises:
            ValueError: the number of maps is not `num_levels`.
        """
        if len(maps) != self.num_levels:
            raise ValueError(f"expected {self.num_levels} feature maps, got {len(maps)}")
        kernel = self.value_proj.weight[:, :, None, None]
        projected = [F.conv2d(level, kernel, self.value_proj.bias) for level in maps]
        wide = torch.promote_types(projected[0].dtype, torch.float32)
        return tuple(p.to(wide).contiguous().unflatten(1, (self.num_heads, -1)) for p in projected)

    def forward(
        self,
        queries: Float[Tensor, "batch tokens width"],
        reference_points: Float[Tensor, "batch tokens 2"],
        values: tuple[Tensor, ...],
    ) -> Float[Tensor, "batch tokens width"]:
        """Attention output for each query.

        Args:
            queries: as many batch entries as `values`, or K times as many: then K successive
                entries (hypotheses) share the maps, which are not copied.
            reference_points: x, y of each query; the maps' edges are 0 and 1.
            values: from `project_values`.
        """
        samples = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(queries).unflatten(-1, (*samples, 2))
        scores = self.attention_weights(queries).unflatten(-1, (self.num_heads, -1))
        found = _sample(values, reference_points, offsets, scores)
        return self.output_proj(found.to(queries.dtype))

    def looks(
        self,
        queries: Float[Tensor, "batch tokens width"],
        reference_points: Float[Tensor, "batch tokens 2"],
        values: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, "batch tokens samples 2"], Float[Tensor, "batch tokens samples"]]:
        """Where `forward` samples for each query, maps' edges 0 and 1, and with what share.

        Shares sum to 1, each head counting alike.
        """
        samples = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(queries).unflatten(-1, (*samples, 2))
        sizes = offsets.new_tensor([[level.shape[-1], level.shape[-2]] for level in values])
        places = reference_points[:, :, None, None, None] + offsets / sizes[:, None]
        scores = self.attention_weights(queries).unflatten(-1, (self.num_heads, -1))
        return places.flatten(2, 4), scores.softmax(-1).flatten(2) / self.num_heads


@full_precision
def _sample(
    values: tuple[Tensor, ...],
    reference_points: Float[Tensor, "batch tokens 2"],
    offsets: Float[Tensor, "batch tokens heads levels points 2"],
    scores: Float[Tensor, "batch tokens heads samples"],
) -> Float[Tensor, "batch tokens width"]:
    """Weighted sums of sampled values, in float32; hypotheses become further queries."""
    batch, heads, head_width = values[0].shape[:3]
    weights = _per_image(scores.softmax(-1), batch)
    places = _per_image(offsets.flatten(3, 4), batch).unflatten(1, (len(values), -1))
    # grid sampling's edges are -1 and 1
    centres = (reference_points * 2 - 1).reshape(batch, 1, 1, -1, 2)
    centres = centres.expand(-1, heads, -1, -1, -1).flatten(0, 1)
    sampled = []
    for level, value in enumerate(values):
        rows, columns = value.shape[-2:]
        # filled on the device: copying a tensor of Python numbers there would synchronise
        cell = torch.cat([offsets.new_full((1,), 2 / columns), offsets.new_full((1,), 2 / rows)])
        grid = torch.addcmul(centres, places[:, level], cell)
        sampled.append(F.grid_sample(value.flatten(0, 1), grid, align_corners=False))
    found = (torch.cat(sampled, dim=2) * weights[:, None]).sum(2)  # over samples, not the last axis
    found = found.unflatten(0, (batch, heads)).permute(0, 3, 1, 2)
    return found.reshape(*scores.shape[:2], heads * head_width)


def _per_image(tensor: Tensor, batch: int) -> Tensor:
    """(hands, tokens, heads, samples, ...) to (batch * heads, samples, an image's queries, ...)."""
    folded = tensor.reshape(batch, -1, *tensor.shape[2:])
    return folded.movedim(1, 3).flatten(0, 1)
