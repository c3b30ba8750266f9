"""HandMIM's pyramid-fusion decoder: from patch tokens of several layers back to pixels."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class PixelDecoder(nn.Module):
    """Stride-2 transposed convolutions from the patch grid to pixels, one ViT layer fused in each.

    HandMIM eq. 8, T[i+1] = upsample(linear([T[i]; L[i]])), with T[0] empty: the map doubles at
    every stage while the tokens L[i] stay on the patch grid, so they are upsampled to match. A
    linear layer on a concatenation is a sum of two, and a 1x1 map commutes with interpolation, so
    tokens are projected before upsampling: the same result at a fraction of the cost. GELU follows
    every stage but the last.

    The earliest ViT layer is fused first, on the coarsest map, as in the paper. It does not give
    the kernels of the transposed convolutions; ours have size 2.

    Deviation: the paper names no norm; we normalise each layer's tokens (LayerNorm), because
    the tokens of inner ViT layers have no fixed scale.
    """

    def __init__(
        self,
        token_dim: int,
        patch_size: int,
        width: int = 256,
    ) -> None:
        """Build the decoder.

        Args:
            token_dim: ViT width.
            patch_size: side of a patch, px, a power of two: 16 gives four stages, 8 three.
            width: channels of the first stage, halved at each next one.

        Raises:
            ValueError: `patch_size` is not a power of two above 1.
        """
        super().__init__()
        self.num_stages = num_stages(patch_size)
        widths = [max(width >> stage, 8) for stage in range(self.num_stages)]
        ins = [widths[0], *widths[:-1]]
        outs = [*widths[:-1], 3]
        self.norms = nn.ModuleList(nn.LayerNorm(token_dim) for _ in ins)
        self.from_tokens = nn.ModuleList(nn.Linear(token_dim, channels) for channels in ins)
        self.from_map = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for channels in ins[1:]
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(a, b, kernel_size=2, stride=2) for a, b in zip(ins, outs)
        )

    def forward(
        self, layers: Sequence[Float[Tensor, "batch patches width"]]
    ) -> Float[Tensor, "batch 3 height width_px"]:
        """Pixels of the normalised image.

        Args:
            layers: patch tokens, one entry per stage, earliest ViT layer first.

        Raises:
            ValueError: another number of layers than stages, or a patch grid that is not square.
        """
        if len(layers) != self.num_stages:
            raise ValueError(f"expected {self.num_stages} layers, one per stage, got {len(layers)}")
        grid = round(layers[0].shape[1] ** 0.5)
        if grid**2 != layers[0].shape[1]:
            raise ValueError(f"{layers[0].shape[1]} patches are not a square grid")
        fused: Tensor | None = None
        for stage, tokens in enumerate(layers):
            entering = self.from_tokens[stage](self.norms[stage](tokens))
            entering = entering.transpose(1, 2).unflatten(2, (grid, grid))
            if fused is None:
                fused = entering
            else:
                size = fused.shape[-2:]
                fused = self.from_map[stage - 1](F.gelu(fused)) + F.interpolate(
                    entering, size=size, mode="bilinear", align_corners=False
                )
            fused = self.upsample[stage](fused)
        assert fused is not None  # num_stages is at least 1
        return fused


def num_stages(patch_size: int) -> int:
    """Number of doublings from one cell per patch to its pixels.

    Raises:
        ValueError: `patch_size` is not a power of two above 1.
    """
    if patch_size < 2 or patch_size & (patch_size - 1):
        raise ValueError(
            f"the pixel decoder doubles the patch grid, so patch_size must be 2, 4, 8, 16 or 32, "
            f"got {patch_size}; use another backbone or set the weight of `recon` to 0"
        )
    return patch_size.bit_length() - 1


def fused_layers(depth: int, stages: int) -> tuple[int, ...]:
    """The ViT layers to fuse, counted from 1 and evenly spread: (3, 6, 9, 12) for 12 and 4.

    HandMIM names layers 3, 6, 9, 12 of its 12-layer networks; ViT-L (24) then gives 6, 12, 18, 24.

    Raises:
        ValueError: fewer ViT layers than stages.
    """
    if depth < stages:
        raise ValueError(f"{stages} decoder stages need as many ViT layers, got depth {depth}")
    return tuple(depth * (stage + 1) // stages for stage in range(stages))
