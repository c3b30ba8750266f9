"""MaskHand from text: a hand's pose as masked tokens, which a transformer predicts from a text.

MaskHand (arXiv 2412.13393), text-to-mesh: the masked transformer of MaskHand with the CLIP feature
of an ASL letter instead of the image, over the tokens of the frozen VQ-MANO; hands are sampled from
the 5 % likeliest codes. The loss is the masked tokens' negative log likelihood, as for images, and
optionally L1 of the hand that the expectation softmax(logits) x codebook decodes to.

Deviation: the paper gives no sizes, weights or schedule of this experiment; the fields of
`TextMaskHandConfig` say where each comes from.
Deviation: one feature has no positions to sample, so cross-attention is plain; the graph has no 2D
keypoints, because a text has none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.data.batch import Batch, PromptedPoseBatch
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.losses.mano import pose_l1_loss, vertex_loss
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.methods.maskhand.config import TextMaskHandConfig
from hand_pipeline.methods.maskhand.context_synthesizer import ContextSynthesizer
from hand_pipeline.methods.maskhand.drawn_hands import AT_ONCE, GeneratedHands, in_parts
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer, tokenizer_state
from hand_pipeline.methods.maskhand.sampling import SamplingConfig, expected_codes, sample_tokens
from hand_pipeline.methods.maskhand.token_masking import random_mask
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.method import Method, parameter_groups


class UnknownPromptError(ValueError):
    """The model has not learnt a prompt; the message lists those it has."""


class TextMaskHand(Method):
    """Masked transformer over pose tokens with a text as its context, and the frozen tokenizer.

    Args:
        cfg: architecture, texts, masking, losses, sampling; `prompts` and `tokenizer` must be set.

    Raises:
        ValueError: no prompts, no tokenizer sizes, or prompts that differ only by case.
    """

    name = "maskhand_text"
    mano: ManoHand
    features: Float[Tensor, "prompts width"]
    """The text encoder's features of the prompts; zeros until `set_features`."""

    def __init__(self, cfg: TextMaskHandConfig) -> None:
        super().__init__()
        if cfg.tokenizer is None or not cfg.prompts:
            raise ValueError(
                "TextMaskHand needs its prompts and the sizes of its tokenizer: set cfg.prompts "
                "and cfg.tokenizer (of a checkpoint: `pose_tokenizer.sizes_of`)"
            )
        self.cfg, self.configs = cfg, {"cfg": cfg}
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
        """How the paper samples hands for a text."""
        top_k = max(1, int(self.cfg.top_share * self.tokenizer.num_codes))
        return SamplingConfig(
            iterations=self.cfg.iterations,
            temperature=self.cfg.temperature,
            top_k=top_k,
            branches=None,  # hands for a text must vary; there is no photo to be fast for
        )

    def train(self, mode: bool = True) -> "TextMaskHand":
        """Set the mode; the tokenizer always stays in eval mode."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def load_tokenizer(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Load the tokenizer of a trained VQ-MANO (or MaskHand).

        Raises:
            CheckpointMismatchError: it has other sizes.
        """
        load_strictly(self.tokenizer, tokenizer_state(tensors), origin)

    def set_features(self, features: Float[Tensor, "prompts width"]) -> None:
        """Store the encoder's features of the prompts; checkpoints include them.

        Raises:
            ValueError: the shape does not fit the configured prompts and `feature_width`.
        """
        if features.shape != self.features.shape:
            raise ValueError(
                f"expected features {tuple(self.features.shape)} of {len(self.cfg.prompts)} "
                f"prompts, got {tuple(features.shape)}; set feature_width to the encoder's"
            )
        self.features.copy_(features)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Negative log likelihood of masked and corrupted tokens; terms of the expected hand.

        Raises:
            TypeError: a batch without prompts.
        """
        if not isinstance(batch, PromptedPoseBatch):
            raise TypeError(f"TextMaskHand needs a PromptedPoseBatch, got {type(batch).__name__}")
        device = batch.mano_pose.device
        with_text = torch.rand(len(batch), device=device) >= self.cfg.condition_dropout
        tokens = self._tokens(self.features[batch.prompts], with_text)
        context = self.synthesizer.encode_context(tokens)
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
            terms |= self._hand_terms(self.tokenizer.decode(codes), batch.mano_pose, with_text)
        return {name: terms[name] for name in self.loss_weights}

    def monitors(self) -> dict[str, Tensor]:
        """Accuracy of the tokens to predict, in the last batch."""
        return self._monitors

    def numbers_of(self, prompts: Sequence[str]) -> list[int]:
        """Rows of known prompts, ignoring case.

        Raises:
            UnknownPromptError: the model has not learnt a prompt.
        """
        unknown = [text for text in prompts if text.strip().casefold() not in self._numbers]
        if unknown:
            raise UnknownPromptError(
                f"not learnt: {', '.join(map(repr, unknown))}; known prompts: "
                f"{', '.join(self.cfg.prompts)}. Give one of these, or use the closest (--closest)"
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
    ) -> GeneratedHands:
        """Sample poses; call in eval mode.

        Args:
            text: known prompts, or features of any text by the same encoder; None: unconditional.
            per_prompt: hands per prompt, instead of `sampling.hypotheses`.
            sampling: None: the property `sampling`.
            generator: on the method's device.

        Returns:
            Hands grouped by prompt, of each prompt the most confident first.

        Raises:
            UnknownPromptError: the model has not learnt a prompt.
        """
        device = self.features.device
        if text is None:
            features, with_text = torch.zeros_like(self.features[:1]), torch.tensor([False])
        else:
            rows = text if isinstance(text, Tensor) else self.features[self.numbers_of(text)]
            features, with_text = rows.to(device), torch.ones(len(rows), dtype=torch.bool)
        tokens = self._tokens(features, with_text.to(device))
        pose, confidence = [], []
        for part in tokens.split(max(1, AT_ONCE // per_prompt)):
            pieces = [
                self._draw(part, count, sampling or self.sampling, generator)
                for count in in_parts(per_prompt, AT_ONCE)
            ]
            poses, confidences = (torch.cat(each, dim=1).flatten(0, 1) for each in zip(*pieces))
            pose.append(poses)
            confidence.append(confidences)
        return GeneratedHands(torch.cat(pose), torch.cat(confidence)).ranked(per_prompt)

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the transformer, and of `no_text` without weight decay."""
        text = {"params": [self.no_text], "weight_decay": 0.0}
        return [*parameter_groups([([self.synthesizer], 1.0)]), text]

    def _draw(
        self,
        tokens: Tensor,
        count: int,
        sampling: SamplingConfig,
        generator: torch.Generator | None,
    ) -> tuple[Float[Tensor, "prompts hands 16 3 3"], Float[Tensor, "prompts hands"]]:
        context = self.synthesizer.encode_context(tokens)
        found = sample_tokens(
            lambda ids, positions: self.synthesizer(ids, context, positions),
            self.synthesizer.masked(len(tokens)),
            sampling.times(count),
            generator=generator,
        )
        pose = self.tokenizer.detokenize(found.ids.flatten(0, 1))
        return pose.unflatten(0, found.ids.shape[:2]), found.confidence

    def _tokens(
        self, features: Float[Tensor, "batch width"], with_text: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch 1 width"]:
        """Features as context tokens: centred by the prompts' mean and scaled to size 1.

        CLIP's features of single letters are nearly equal; centring leaves their differences.
        """
        known = self.features
        centred = (features - known.mean(0)) / known.std(0, correction=0).norm().clamp(min=1e-6)
        tokens = centred * known.shape[1] ** 0.5
        return torch.where(with_text[:, None], tokens, self.no_text)[:, None]

    def _masked(
        self, targets: Int64[Tensor, "batch tokens"], hidden: Bool[Tensor, "batch tokens"]
    ) -> tuple[Int64[Tensor, "batch tokens"], Bool[Tensor, "batch tokens"]]:
        """The network's input, and which tokens it must predict: hidden and corrupted ones."""
        wrong = ~hidden & (torch.rand(targets.shape, device=targets.device) < self.cfg.corruption)
        random = torch.randint_like(targets, self.tokenizer.num_codes)
        ids = torch.where(hidden, self.synthesizer.mask_id, torch.where(wrong, random, targets))
        return ids, hidden | wrong

    def _hand_terms(self, pose: Tensor, truth: Tensor, with_text: Tensor) -> dict[str, Tensor]:
        """Terms of hands with a text: without one, the expectation is no plausible hand."""
        betas = pose.new_zeros(len(pose), 10)
        hand, true_hand = self.mano(pose, betas), self.mano(truth, betas)
        wrist, true_wrist = hand.joints[:, 0], true_hand.joints[:, 0]
        return {
            "pose": pose_l1_loss(pose, truth, with_text),
            "vertices": vertex_loss(
                hand.vertices, true_hand.vertices, with_text, wrist, true_wrist
            ),
        }
