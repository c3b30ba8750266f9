"""VQ-MANO's networks: from the rotations of 16 joints to a sequence of latents, and back.

MaskHand (arXiv 2412.13393), section 3.1 and supplement: ResBlocks and 1D convolutions, a sequence
of tokens for a MANO pose. Its layout is not published; this is the one of TokenHMR (Dwivedi et al.
2024), which on MANO's 16 joints gives exactly the paper's 16, 32, 64 and 128 tokens.

Nor is the initialisation; ours is He et al.'s, with residual blocks that start as the identity,
which halves the error of a short run compared with torch's default.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.joints import MANO_JOINTS, OPENPOSE
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.rotation import matrix_to_rotation_6d, rotation_6d_to_matrix
from hand_pipeline.methods.maskhand.codebook import Codebook, Quantized, code_likeness
from hand_pipeline.methods.maskhand.config import PoseTokenizerConfig

_JOINTS, _SIX = 16, 6
_DILATION_GROWTH = 3  # factor from block to block, as in TokenHMR


class ResidualBlock1d(nn.Module):
    """ReLU, dilated convolution of 3, ReLU, convolution of 1, added to the input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = _start(nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation))
        self.narrow = _start(nn.Conv1d(width, width, 1))
        nn.init.zeros_(self.narrow.weight)

    def forward(
        self, x: Float[Tensor, "batch width length"]
    ) -> Float[Tensor, "batch width length"]:
        """The input plus the block's residual, in the same shape."""
        return x + self.narrow(F.relu(self.wide(F.relu(x))))


class PoseEncoder(nn.Module):
    """Rotations to latents: upsampled to twice the tokens, then halved by a strided convolution.

    Deviation: the paper takes MANO's 48 axis-angle values; we take the 6D form of each rotation, as
    TokenHMR does, because it has no discontinuity at half a turn.
    """

    def __init__(self, cfg: PoseTokenizerConfig) -> None:
        super().__init__()
        self.stem = _conv3(_SIX, cfg.width)
        lengths = [_JOINTS * 2**n for n in range(1, 9) if _JOINTS * 2**n <= 2 * cfg.num_tokens]
        self.rises = nn.ModuleList(_conv3(cfg.width, cfg.width) for _ in lengths)
        dilations = [_DILATION_GROWTH**i for i in reversed(range(cfg.depth))]
        self.halve = _start(nn.Conv1d(cfg.width, cfg.width, 4, stride=2, padding=1))
        self.blocks = nn.Sequential(*(ResidualBlock1d(cfg.width, d) for d in dilations))
        self.last = _conv3(cfg.width, cfg.code_dim)

    def forward(
        self, mano_pose: Float[Tensor, "batch 16 3 3"]
    ) -> Float[Tensor, "batch tokens code_dim"]:
        """Latents in float32, before quantisation."""
        x = F.relu(self.stem(matrix_to_rotation_6d(mano_pose).mT))
        for conv in self.rises:
            x = F.relu(conv(F.interpolate(x, scale_factor=2.0)))
        x = self.blocks(self.halve(x))
        with torch.autocast(x.device.type, enabled=False):
            return self.last(x.float()).mT


class PoseDecoder(nn.Module):
    """Codes to rotations: resampled to 16 joints in even steps, made orthonormal at the end.

    The last layer adds to the flat hand and runs in float32 (in bfloat16 its rounding would already
    be a tenth of a degree per joint).
    """

    flat: Float[Tensor, "6"]

    def __init__(self, cfg: PoseTokenizerConfig) -> None:
        super().__init__()
        self.lengths = decoder_lengths(cfg.num_tokens)
        self.stem = _conv3(cfg.code_dim, cfg.width)
        self.falls = nn.ModuleList(_conv3(cfg.width, cfg.width) for _ in self.lengths)
        dilations = [_DILATION_GROWTH**i for i in range(cfg.depth)]
        self.blocks = nn.Sequential(*(ResidualBlock1d(cfg.width, d) for d in dilations))
        self.mix = _conv3(cfg.width, cfg.width)
        self.last = _conv3(cfg.width, _SIX)
        nn.init.normal_(self.last.weight, std=0.1 * (2 / (3 * cfg.width)) ** 0.5)
        self.register_buffer("flat", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)

    def forward(
        self, codes: Float[Tensor, "batch tokens code_dim"]
    ) -> Float[Tensor, "batch 16 3 3"]:
        """Rotation matrices, full pose, wrist first."""
        x = F.relu(self.stem(codes.mT))
        for length, conv in zip(self.lengths, self.falls):
            x = F.relu(conv(F.interpolate(x, size=length)))
        x = F.relu(self.mix(self.blocks(x)))
        with torch.autocast(x.device.type, enabled=False):
            return rotation_6d_to_matrix(self.last(x.float()).mT + self.flat)


class PoseTokenizer(nn.Module):
    """Encoder, codebook and decoder: poses to ids and back.

    Attributes:
        num_tokens: per pose.
        num_codes: values a token can have.
    """

    def __init__(self, cfg: PoseTokenizerConfig) -> None:
        super().__init__()
        self.num_tokens, self.num_codes = int(cfg.num_tokens), cfg.num_codes
        self.encoder = PoseEncoder(cfg)
        self.codebook = Codebook(cfg.num_codes, cfg.code_dim, cfg.codebook_decay)
        self.decoder = PoseDecoder(cfg)
        self._likeness: Tensor | None = None
        self.register_load_state_dict_post_hook(_forget_likeness)

    @property
    def likeness(self) -> Float[Tensor, "codes codes"]:
        """`codebook.code_likeness` of the codes when first asked for since they were loaded."""
        codes, known = self.codebook.embeddings, self._likeness
        if known is None or known.device != codes.device or known.dtype != codes.dtype:
            known = self._likeness = code_likeness(codes).to(codes)
        return known

    def quantize(self, mano_pose: Float[Tensor, "batch 16 3 3"]) -> Quantized:
        """Codes of full poses, with a gradient; in training mode also updates the codebook."""
        return self.codebook(self.encoder(mano_pose))

    @torch.no_grad()
    @full_precision
    def tokenize(self, mano_pose: Float[Tensor, "batch 16 3 3"]) -> Int[Tensor, "batch tokens"]:
        """Ids of the codes nearest to a full pose's latents, int64; in float32 under autocast.

        Latents in bfloat16 would choose another code for every sixth token.
        """
        latents = self.encoder(mano_pose)
        return self.codebook.nearest(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])

    @full_precision
    def decode(self, codes: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch 16 3 3"]:
        """Rotations from codes, or means of them (softmax @ codes); in float32 under autocast."""
        return self.decoder(codes)

    @full_precision
    def unquantized(
        self, mano_pose: Float[Tensor, "batch 16 3 3"]
    ) -> Float[Tensor, "batch 16 3 3"]:
        """A pose after encoder and decoder without codes: what these two lose alone."""
        return self.decoder(self.encoder(mano_pose))

    def detokenize(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch 16 3 3"]:
        """Rotations from ids."""
        return self.decode(self.codebook.embeddings[ids])


def _forget_likeness(tokenizer: nn.Module, _: object) -> None:
    assert isinstance(tokenizer, PoseTokenizer)
    tokenizer._likeness = None


def tokenizer_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of the `PoseTokenizer` that a method with these tensors has as `tokenizer`."""
    prefix = "tokenizer."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def sizes_of(
    config: Mapping[str, Any], wanted: PoseTokenizerConfig | None, origin: str
) -> PoseTokenizerConfig:
    """Sizes of a trained tokenizer.

    Args:
        config: its configuration in the checkpoint.
        wanted: the sizes it must have; None: any.
        origin: name of its source for error messages.

    Raises:
        ValueError: it does not have the wanted sizes.
    """
    fields = PoseTokenizerConfig.model_fields
    found = PoseTokenizerConfig(**{name: config[name] for name in fields})
    if wanted is not None and wanted != found:
        ours, theirs = wanted.model_dump(), found.model_dump()
        differ = [f"{n} {theirs[n]}, wanted {ours[n]}" for n in fields if theirs[n] != ours[n]]
        raise ValueError(
            f"{origin} is a tokenizer of another size ({'; '.join(differ)}): train one with the "
            "wanted sizes, or set `tokenizer` to null to use it as it is"
        )
    return found


def joint_tokens(num_tokens: int) -> Float[Tensor, "21 tokens"]:
    """Weights, summing to 1, of the tokens that determine each joint's position.

    Tokens follow the sequence of MANO's 16 rotations (the tokenizer only resamples it), and a joint
    is moved by the rotations between it and the wrist. The wrist, which none of them moves, has the
    tokens of its own rotation.

    Deviation: the paper reports no confidence of joints; this one is ours. Neighbouring tokens
    overlap through the tokenizer's convolutions, so it is no probability and needs calibration.
    """
    rotation = torch.arange(num_tokens) * len(MANO_JOINTS) // num_tokens
    weights = torch.zeros(len(OPENPOSE), num_tokens)
    for row, joint in enumerate(OPENPOSE):
        finger, _, number = joint.partition("_")
        moving = [f"{finger}_{i}" for i in range(1, int(number))] if number else []
        for name in moving or ["wrist"]:
            weights[row] += (rotation == MANO_JOINTS.index(name)).float()
    return weights / weights.sum(1, keepdim=True)


def decoder_lengths(num_tokens: int) -> list[int]:
    """Sequence lengths from the tokens to the 16 joints: 52, 40, 28, 16 for 64 tokens."""
    steps = num_tokens.bit_length() - 3  # 2 for 16 tokens, one more for each doubling
    return [round(num_tokens - (num_tokens - _JOINTS) * n / steps) for n in range(1, steps + 1)]


def _conv3(width_in: int, width_out: int) -> nn.Conv1d:
    return _start(nn.Conv1d(width_in, width_out, 3, padding=1))


def _start(conv: nn.Conv1d) -> nn.Conv1d:
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
