"""MaskHand from text: the tokens of a hand's pose, filled in by reading a word.

MaskHand (arXiv 2412.13393), text-to-mesh: the masked transformer of MaskHand with the CLIP feature
of an ASL letter in place of the image, over the tokens of the frozen VQ-MANO; hands are drawn from
the 5 % likeliest codes. The loss is the masked tokens' negative log likelihood, as for images, and
optionally L1 of the hand that the expectation softmax(logits) x codebook decodes to.

Deviation: paper prints no sizes, weights or schedule of this experiment; the fields of
`TextMaskHandConfig` say where each comes from.
Deviation: one feature has no places to sample, so cross-attention is plain; and 2D keypoints, which
a text has none of, are left out of the graph.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.data.batch import Batch, PromptedPoseBatch
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.losses.mano_parameter import pose_l1_loss
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.losses.vertex import vertex_loss
from hand_pipeline.methods.maskhand.context_synthesizer import (
    ContextSynthesizer,
    ContextSynthesizerConfig,
)
from hand_pipeline.methods.maskhand.pose_tokenizer import (
    PoseTokenizer,
    PoseTokenizerConfig,
    tokenizer_state,
)
from hand_pipeline.methods.maskhand.sampling import (
    SamplingConfig,
    Vocabulary,
    expected_codes,
    sample_tokens,
)
from hand_pipeline.methods.maskhand.text_encoder import TextEncoderConfig
from hand_pipeline.methods.maskhand.token_masking import random_mask
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.method import Method, parameter_groups

_ROWS = 512  # hands drawn at once: with 2048 codes 250 MB of logits


class UnknownPromptError(ValueError):
    """A prompt that the model has not learnt; the message names those it has."""


class TextMaskHandConfig(ContextSynthesizerConfig):
    """The transformer (inherited), the texts, the frozen tokenizer, masking, losses, sampling."""

    context: Literal["tokens"] = Field("tokens", description="one token: the text's feature")
    use_pose_2d: Literal[False] = Field(False, description="a text has no 2D keypoints")
    prompts: tuple[str, ...] = Field(
        (), description="texts it learns; empty: those of the training set"
    )
    template: str = Field(
        "{}", description="what the encoder reads for a prompt; paper: the letter, how is not said"
    )
    text: TextEncoderConfig = Field(
        TextEncoderConfig(), description="encoder; a checkpoint names the one that was used"
    )
    feature_width: int = Field(512, gt=0, description="of the encoder; CLIP ViT-B/32: 512")
    tokenizer: PoseTokenizerConfig | None = Field(
        None, description="sizes of the frozen VQ-MANO; null: as its checkpoint says"
    )
    corruption: float = Field(
        0.1, ge=0, le=1, description="share of the visible tokens that are random; MoMask 0.1"
    )
    condition_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of hands learnt without their text; MoMask: 0.1"
    )
    weight_mask: float = Field(1.0, ge=0, description="nats a token; our starting value")
    weight_pose: float = Field(
        0.0, ge=0, description="L1 of rotation matrices of the expected hand; 0: not computed"
    )
    weight_vertices: float = Field(
        0.0, ge=0, description="L1, metres, of the expected hand; 0: not computed"
    )
    top_share: float = Field(
        0.05, gt=0, le=1, description="of the codes that are drawn from; MaskHand's text: 5 %"
    )
    iterations: int = Field(5, ge=1, description="passes of sampling; MaskHand: 5")
    temperature: float = Field(1.0, ge=0, description="of sampling; not printed, MMM's: 1")
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )

    @field_validator("template")
    @classmethod
    def _one_place(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"the template needs one {{}} for the prompt, got {template!r}")
        return template


class TextMaskHand(Method):
    """Masked transformer over pose tokens with a text as its context, and the frozen tokenizer.

    Args:
        cfg: architecture, texts, masking, losses, sampling; `prompts` and `tokenizer` must be given
            here.

    Raises:
        ValueError: no prompts, no tokenizer sizes, or prompts that differ in their case alone.
    """

    mano: ManoHand
    features: Float[Tensor, "prompts width"]
    """Of the prompts, as the encoder gives them: zeros until `set_features`."""

    def __init__(self, cfg: TextMaskHandConfig) -> None:
        super().__init__()
        if cfg.tokenizer is None or not cfg.prompts:
            raise ValueError(
                "TextMaskHand needs its prompts and the sizes of its tokenizer: set cfg.prompts "
                "and cfg.tokenizer (of a checkpoint: `pose_tokenizer.sizes_of`)"
            )
        self.cfg = cfg
        self._numbers = {prompt.casefold(): row for row, prompt in enumerate(cfg.prompts)}
        if len(self._numbers) != len(cfg.prompts):
            raise ValueError(f"prompts must differ by more than case, got {cfg.prompts}")
        self.mano = ManoHand(cfg.mano_model)
        self.tokenizer = PoseTokenizer(cfg.tokenizer).requires_grad_(False)
        self.synthesizer = ContextSynthesizer(
            cfg, self.tokenizer.num_tokens, self.tokenizer.num_codes, cfg.feature_width
        )
        self.no_text = nn.Parameter(torch.zeros(cfg.feature_width))
        self.register_buffer("features", torch.zeros(len(cfg.prompts), cfg.feature_width))
        weights = {"mask": cfg.weight_mask, "pose": cfg.weight_pose}
        weights["vertices"] = cfg.weight_vertices
        self.loss_weights = {n: w for n, w in weights.items() if n == "mask" or w > 0}
        self._monitors: dict[str, Tensor] = {}

    @property
    def sampling(self) -> SamplingConfig:
        """How the paper draws hands for a text."""
        top_k = max(1, int(self.cfg.top_share * self.tokenizer.num_codes))
        return SamplingConfig(
            iterations=self.cfg.iterations, temperature=self.cfg.temperature, top_k=top_k
        )

    def train(self, mode: bool = True) -> "TextMaskHand":
        """As of every module, but the tokenizer always stays in evaluation mode."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def load_tokenizer(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Take the tokenizer of a trained VQ-MANO (or MaskHand).

        Raises:
            CheckpointMismatchError: it has other sizes.
        """
        load_strictly(self.tokenizer, tokenizer_state(tensors), origin)

    def set_features(self, features: Float[Tensor, "prompts width"]) -> None:
        """Keep the encoder's features of the prompts; they stay in the checkpoint.

        Raises:
            ValueError: other numbers of prompts or of features than configured.
        """
        if features.shape != self.features.shape:
            raise ValueError(
                f"expected features {tuple(self.features.shape)} of {len(self.cfg.prompts)} "
                f"prompts, got {tuple(features.shape)}; set feature_width to the encoder's"
            )
        self.features.copy_(features)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Negative log likelihood of masked and of wrong tokens; terms of the expected hand.

        Raises:
            TypeError: a batch without prompts.
        """
        if not isinstance(batch, PromptedPoseBatch):
            raise TypeError(f"TextMaskHand needs a PromptedPoseBatch, got {type(batch).__name__}")
        device = batch.mano_pose.device
        told = torch.rand(len(batch), device=device) >= self.cfg.condition_dropout
        context = self.synthesizer.encode_context(self._tokens(self.features[batch.prompts], told))
        targets = self.tokenizer.tokenize(batch.mano_pose)
        hidden = random_mask(torch.rand(len(batch), device=device), self.tokenizer.num_tokens)
        ids, asked = self._masked(targets, hidden)
        logits = self.synthesizer(ids, context).float()
        likelihood = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        correct = (logits.argmax(-1) == targets).float()
        self._monitors = {"token_accuracy": masked_mean(correct, asked).detach()}
        terms = {"mask": masked_mean(likelihood.unflatten(0, targets.shape), asked)}
        if len(self.loss_weights) > 1:
            codebook = self.tokenizer.codebook.embeddings
            codes = torch.where(
                asked[..., None], expected_codes(logits, codebook), codebook[targets]
            )
            terms |= self._hand_terms(self.tokenizer.decode(codes), batch.mano_pose, told)
        return {name: terms[name] for name in self.loss_weights}

    def monitors(self) -> dict[str, Tensor]:
        """Share of the asked tokens that are right, in the last batch."""
        return self._monitors

    def numbers_of(self, prompts: Sequence[str]) -> list[int]:
        """Rows of known prompts; case does not count.

        Raises:
            UnknownPromptError: a prompt it has not learnt.
        """
        unknown = [text for text in prompts if text.strip().casefold() not in self._numbers]
        if unknown:
            raise UnknownPromptError(
                f"not learnt: {', '.join(map(repr, unknown))}; known prompts: "
                f"{', '.join(self.cfg.prompts)}. Give one of these, or ask for the closest"
            )
        return [self._numbers[text.strip().casefold()] for text in prompts]

    def closest(self, features: Float[Tensor, "texts width"]) -> list[str]:
        """The known prompt whose feature has the smallest angle to each given one."""
        known = F.normalize(self.features, dim=1)
        rows = (F.normalize(features.to(known), dim=1) @ known.mT).argmax(1)
        return [self.cfg.prompts[row] for row in rows.tolist()]

    @torch.no_grad()
    def generate(
        self,
        text: Sequence[str] | Float[Tensor, "texts width"] | None,
        per_prompt: int,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "hands 16 3 3"]:
        """Draw poses; call in eval mode.

        Args:
            text: known prompts, or features of any text by the same encoder; None: without text.
            per_prompt: hands of each, which replaces the number of hypotheses.
            sampling: None: the configuration's, from its share of the codes.
            generator: of the method's device.

        Returns:
            Full poses, those of a prompt in succession.

        Raises:
            UnknownPromptError: a prompt it has not learnt.
        """
        device = self.features.device
        if text is None:
            features, told = torch.zeros_like(self.features[:1]), torch.tensor([False])
        else:
            rows = text if isinstance(text, Tensor) else self.features[self.numbers_of(text)]
            features, told = rows.to(device), torch.ones(len(rows), dtype=torch.bool)
        tokens = self._tokens(features, told.to(device))
        drawn = []
        for part in tokens.split(max(1, _ROWS // per_prompt)):
            pieces = [
                self._draw(part, count, sampling or self.sampling, generator)
                for count in _pieces(per_prompt)
            ]
            drawn.append(torch.cat(pieces, dim=1).flatten(0, 1))
        return torch.cat(drawn)

    def param_groups(self) -> list[dict[str, Any]]:
        """The transformer, split by weight decay, and the stand-in for a text."""
        text = {"params": [self.no_text], "weight_decay": 0.0}
        return [*parameter_groups([([self.synthesizer], 1.0)]), text]

    def _draw(
        self,
        tokens: Tensor,
        count: int,
        sampling: SamplingConfig,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "prompts hands 16 3 3"]:
        context = self.synthesizer.encode_context(tokens)
        changed = {**sampling.model_dump(), "hypotheses": count}
        ids = sample_tokens(
            lambda ids, positions: self.synthesizer(ids, context, positions),
            Vocabulary(self.tokenizer.num_tokens, self.synthesizer.mask_id),
            len(tokens),
            SamplingConfig(**changed),  # checked: several hands need a temperature
            self.features.device,
            generator,
        ).ids
        return self.tokenizer.detokenize(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])

    def _tokens(
        self, features: Float[Tensor, "batch width"], told: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch 1 width"]:
        """Features as context tokens: the prompts' mean taken away, brought to a size of 1.

        CLIP's features of single letters share most of their length; what tells them apart is
        what is left.
        """
        known = self.features
        centred = (features - known.mean(0)) / known.std(0, correction=0).norm().clamp(min=1e-6)
        tokens = centred * known.shape[1] ** 0.5
        return torch.where(told[:, None], tokens, self.no_text)[:, None]

    def _masked(
        self, targets: Int64[Tensor, "batch tokens"], hidden: Bool[Tensor, "batch tokens"]
    ) -> tuple[Int64[Tensor, "batch tokens"], Bool[Tensor, "batch tokens"]]:
        """What the network sees, and which tokens it is asked for: hidden and wrong ones."""
        wrong = ~hidden & (torch.rand(targets.shape, device=targets.device) < self.cfg.corruption)
        random = torch.randint_like(targets, self.tokenizer.num_codes)
        ids = torch.where(hidden, self.synthesizer.mask_id, torch.where(wrong, random, targets))
        return ids, hidden | wrong

    def _hand_terms(self, pose: Tensor, truth: Tensor, told: Tensor) -> dict[str, Tensor]:
        """Of hands whose text was seen: what is expected without one is no hand."""
        betas = pose.new_zeros(len(pose), 10)
        hand, true_hand = self.mano(pose, betas), self.mano(truth, betas)
        wrist, true_wrist = hand.joints[:, 0], true_hand.joints[:, 0]
        return {
            "pose": pose_l1_loss(pose, truth, told),
            "vertices": vertex_loss(hand.vertices, true_hand.vertices, told, wrist, true_wrist),
        }


def _pieces(count: int) -> list[int]:
    """`count` in parts of at most `_ROWS`."""
    whole, rest = divmod(count, _ROWS)
    return [_ROWS] * whole + ([rest] if rest else [])
