"""The vision transformer: timm's, with mask tokens and intermediate layers in one pass."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hand_pipeline.config import Config
from hand_pipeline.models.torchvision_compat import ensure_torchvision
from hand_pipeline.models.vit_weights import load_into, read_state

ensure_torchvision()
import timm  # noqa: E402 (torchvision must be mended first)
from timm.models.vision_transformer import VisionTransformer as TimmViT  # noqa: E402


class VitConfig(Config):
    """Which transformer, and what it starts from. `None` means: as the name says."""

    name: str = Field("vit_small_patch16_224", description="timm model; HandMIM table 1: ViT-S/B/L")
    image_size: int = Field(224, gt=0, description="side of the square input, pixels")
    patch_size: int | None = Field(None, gt=0, description="side of a patch, pixels")
    depth: int | None = Field(None, gt=0, description="number of blocks")
    embed_dim: int | None = Field(None, gt=0, description="token width")
    num_heads: int | None = Field(None, gt=0, description="attention heads")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="stochastic depth of the last block, linear from 0 at the first",
    )
    init: str = Field("random", description="'random', 'imagenet' (a download) or a local file")
    gradient_checkpointing: bool = Field(
        False, description="recompute blocks in the backward pass: less memory, about 1/3 more time"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "VitConfig":
        if self.embed_dim and self.num_heads and self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}"
            )
        return self


class VitOutput(NamedTuple):
    """What a forward pass gives.

    Attributes:
        cls: class token after the final norm.
        patches: patch tokens after the final norm, row by row from the top left.
        layers: patch tokens after the requested blocks, before any norm.
    """

    cls: Float[Tensor, "batch width"]
    patches: Float[Tensor, "batch patches width"]
    layers: list[Float[Tensor, "batch patches width"]]


class VisionTransformer(nn.Module):
    """timm's ViT with mask-token injection; parameters keep timm's names under `trunk.`.

    Attributes:
        embed_dim: token width.
        depth: number of blocks.
        patch_size: side of a patch, pixels.
        grid_size: patches along one side.
        num_patches: `grid_size` squared.
        mask_token: replaces hidden patches, zero at the start (iBOT); None without masking.
    """

    def __init__(self, trunk: TimmViT, masking: bool, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        self.embed_dim: int = trunk.embed_dim
        self.depth = len(trunk.blocks)
        self.patch_size: int = trunk.patch_embed.patch_size[0]
        self.grid_size: int = trunk.patch_embed.grid_size[0]
        self.num_patches = self.grid_size**2
        self.gradient_checkpointing = gradient_checkpointing
        self.mask_token = nn.Parameter(torch.zeros(self.embed_dim)) if masking else None

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        mask: Bool[Tensor, "batch patches"] | None = None,
        layers: Sequence[int] = (),
    ) -> VitOutput:
        """Encode normalised images.

        Args:
            images: ImageNet-normalised, `image_size` pixels a side.
            mask: True where a patch is hidden: its embedding is replaced by the mask token after
                the patch embedding and before the position embedding (iBOT; HandMIM eq. 2).
            layers: blocks whose output is wanted, counted from 1 as in the papers.

        Raises:
            ValueError: a mask without a mask token, or a layer that does not exist.
        """
        if unknown := [layer for layer in layers if not 1 <= layer <= self.depth]:
            raise ValueError(f"layers count from 1 to {self.depth}, got {unknown}")
        tokens = self.trunk.patch_embed(images)
        if mask is not None:
            if self.mask_token is None:
                raise ValueError("this ViT has no mask token; build it with masking=True")
            tokens = torch.where(mask[..., None], self.mask_token.to(tokens.dtype), tokens)
        tokens = self.trunk.norm_pre(self.trunk._pos_embed(tokens))
        prefix = self.trunk.num_prefix_tokens
        taken: dict[int, Tensor] = {}
        for number, block in enumerate(self.trunk.blocks, start=1):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            if number in layers:
                taken[number] = tokens[:, prefix:]
        tokens = self.trunk.norm(tokens)
        return VitOutput(tokens[:, 0], tokens[:, prefix:], [taken[layer] for layer in layers])

    def freeze_blocks(self, num_blocks: int) -> None:
        """Freeze the first blocks, and with them the patch and position embeddings.

        0 freezes nothing (HandMIM's partial fine-tuning: 0, 2, ..., 12 of 12 blocks).

        Raises:
            ValueError: more blocks than there are.
        """
        if not 0 <= num_blocks <= self.depth:
            raise ValueError(f"can freeze 0 to {self.depth} blocks, got {num_blocks}")
        if num_blocks == 0:
            return
        trunk = self.trunk
        for part in (trunk.patch_embed, trunk.norm_pre, trunk.blocks[:num_blocks]):
            part.requires_grad_(False)
        for token in (trunk.cls_token, trunk.pos_embed, trunk.reg_token, self.mask_token):
            if token is not None:
                token.requires_grad_(False)

    def backbone_state(self) -> dict[str, Tensor]:
        """Weights under timm's names, without the mask token: what `load_backbone` reads."""
        return {name: value.detach() for name, value in self.trunk.state_dict().items()}


def build_vit(cfg: VitConfig, masking: bool = False) -> VisionTransformer:
    """The transformer a config describes, with its starting weights.

    Args:
        cfg: architecture and `init`.
        masking: give it a mask token, so that `forward` takes masks.

    Raises:
        ValueError: a name timm does not know, or a model without a class token.
        CheckpointMismatchError: the weights belong to another architecture.
    """
    vit = VisionTransformer(_timm_vit(cfg), masking, cfg.gradient_checkpointing)
    load_backbone(vit, cfg.init)
    return vit


def load_backbone(vit: VisionTransformer, init: str | Path) -> None:
    """Give `vit` starting weights: 'random' (leave as they are), 'imagenet', or a local file.

    Local files are timm checkpoints of the same architecture (`.safetensors`, or `torch.save`d
    tensors) or our own backbones; position embeddings are interpolated to `vit`'s grid.

    Raises:
        CheckpointMismatchError: the weights belong to another architecture.
        RuntimeError: the ImageNet weights could not be downloaded.
    """
    if init == "random":
        return
    if init == "imagenet":
        load_into(vit.trunk, _imagenet_state(vit), "the ImageNet checkpoint")
        return
    state = read_state(Path(init))
    state.pop("mask_token", None)
    load_into(vit.trunk, state, str(init))


def _imagenet_state(vit: VisionTransformer) -> dict[str, Tensor]:
    pretrained: Any = vit.trunk.pretrained_cfg
    name = str(pretrained["architecture"])
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # any failure of the hub client, whose error types are its own
        raise RuntimeError(
            f"could not get timm's ImageNet weights of {name} ({error}); download them elsewhere "
            "and set init to the local .safetensors file"
        ) from error
    return network.state_dict()


def _timm_vit(cfg: VitConfig) -> TimmViT:
    if not timm.is_model(cfg.name):
        near = difflib.get_close_matches(cfg.name, timm.list_models("vit_*"), n=5)
        raise ValueError(f"timm has no model {cfg.name!r}; near it: {', '.join(near) or 'none'}")
    overrides: dict[str, Any] = {
        "patch_size": cfg.patch_size,
        "depth": cfg.depth,
        "embed_dim": cfg.embed_dim,
        "num_heads": cfg.num_heads,
    }
    network = timm.create_model(
        cfg.name,
        num_classes=0,
        global_pool="",
        img_size=cfg.image_size,
        drop_path_rate=cfg.drop_path,
        **{key: value for key, value in overrides.items() if value is not None},
    )
    if not isinstance(network, TimmViT) or not network.has_class_token:
        raise ValueError(
            f"{cfg.name} is not a plain ViT with a class token; use for example "
            "vit_{tiny,small,base,large}_patch16_224"
        )
    side = network.patch_embed.patch_size[0]
    if cfg.image_size % side:
        raise ValueError(f"image_size {cfg.image_size} is not a multiple of patch_size {side}")
    return network
