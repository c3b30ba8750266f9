"""Text encoders: CLIP's, or one based on spelling if CLIP's weights are not available.

MaskHand (arXiv 2412.13393), text-to-mesh: the CLIP feature of a word replaces the image.
"""

import hashlib
import importlib
import logging
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.methods.maskhand.config import TextEncoderConfig
from hand_pipeline.models.torchvision_compat import ensure_torchvision

HASHED_WIDTH = 512
"""Width of CLIP ViT-B/32's features, and bits of the longest BLAKE2b digest."""
_LONGEST = 3  # characters of an n-gram

logger = logging.getLogger(__name__)


class TextEncoderError(RuntimeError):
    """CLIP is not available; the message says what to do."""


@runtime_checkable
class TextEncoder(Protocol):
    """Maps prompts to features.

    Attributes:
        name: of the encoder.
        width: of its features.
    """

    name: Literal["clip", "hashed"]
    width: int

    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "prompts width"]:
        """Features of length 1, float32, on the CPU."""
        ...


class HashedTextEncoder:
    """Features of the spelling: no weights, no download, the same on every machine.

    Each n-gram of 1 to 3 characters of the prompt (in lower case, with a mark at either end) has
    512 signs, the bits of its BLAKE2b digest; a prompt's feature is their sum, normalised: a fixed
    random projection of its n-gram counts. Prompts that share letters are near each other; meaning
    has no effect: "fist" is no nearer to "A" than "palm" is.

    Deviation: the paper uses CLIP; this is for machines without its weights.
    """

    name: Literal["clip", "hashed"] = "hashed"
    width = HASHED_WIDTH

    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "prompts 512"]:
        """See `TextEncoder`.

        Raises:
            ValueError: a prompt is empty.
        """
        _check(prompts)
        rows = [sum(map(_signs, _ngrams(prompt))) for prompt in prompts]
        return F.normalize(torch.from_numpy(np.stack(rows).astype(np.float32)), dim=1)


class ClipTextEncoder:
    """Projected text features of CLIP (Radford et al. 2021), by transformers.

    Args:
        model: folder or name on the hub.
        download: whether to download missing weights.

    Raises:
        TextEncoderError: transformers is not installed, or the weights are missing.
    """

    name: Literal["clip", "hashed"] = "clip"

    def __init__(self, model: str, download: bool) -> None:
        try:
            ensure_torchvision()  # transformers imports it
            transformers: Any = importlib.import_module("transformers")
        except ImportError as error:
            raise TextEncoderError(
                "CLIP's text encoder needs transformers: pip install 'hand-pipeline[text]', or set "
                "encoder to hashed"
            ) from error
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(
                model, local_files_only=not download
            )
            self.network = transformers.CLIPTextModelWithProjection.from_pretrained(
                model, local_files_only=not download, use_safetensors=True
            ).eval()
        except (OSError, ValueError) as error:
            raise TextEncoderError(
                f"no CLIP text encoder in {model!r} ({_first_line(error)}); give a folder with "
                "model.safetensors, config.json and the tokenizer's files as clip_model, or set "
                "encoder to hashed"
            ) from error
        self.width = int(self.network.config.projection_dim)

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "prompts width"]:
        """See `TextEncoder`.

        Raises:
            ValueError: a prompt is empty.
        """
        _check(prompts)
        tokens = self.tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt")
        features: Tensor = self.network(**tokens).text_embeds
        return F.normalize(features.float(), dim=1).clone()


def build_text_encoder(cfg: TextEncoderConfig) -> TextEncoder:
    """The encoder of a configuration; logs a warning if `auto` falls back to `hashed`.

    Raises:
        TextEncoderError: the encoder is `clip` and is not available.
    """
    if cfg.encoder == "hashed":
        return HashedTextEncoder()
    try:
        return ClipTextEncoder(cfg.clip_model, download=cfg.encoder == "clip")
    except TextEncoderError as error:
        if cfg.encoder == "clip":
            raise
        logger.warning(
            "text encoder: FALLBACK to 'hashed', which knows spelling but no meaning: %s", error
        )
        return HashedTextEncoder()


def _check(prompts: Sequence[str]) -> None:
    if not prompts or not all(prompt.strip() for prompt in prompts):
        raise ValueError(f"expected prompts of at least one character, got {list(prompts)}")


def _ngrams(prompt: str) -> list[str]:
    text = f"\x02{' '.join(prompt.casefold().split())}\x03"
    grams = [text[i : i + n] for n in range(1, _LONGEST + 1) for i in range(len(text) - n + 1)]
    return [gram for gram in grams if gram not in ("\x02", "\x03")]


def _signs(ngram: str) -> np.ndarray:
    digest = np.frombuffer(hashlib.blake2b(ngram.encode()).digest(), dtype=np.uint8)
    signs: np.ndarray = np.unpackbits(digest).astype(np.int64) * 2 - 1
    return signs


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
