"""The contract between a paper and everything else: how it trains and how it predicts hands."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses
from hand_pipeline.geometry.mano import ManoHand


class Method(nn.Module, ABC):
    """One paper, as the training loop sees it.

    Randomness: before every step the loop seeds torch's global generators from (seed, step, rank),
    so what `losses` draws (views, masks, dropout) depends only on those, and a resumed run draws
    the same.
    """

    name: ClassVar[str] = ""
    """Its key in `methods.METHODS`; checkpoints hold it."""

    configs: Mapping[str, Config] = MappingProxyType({})
    """The constructor's arguments by name; checkpoints hold them."""

    total_steps: int = 0
    """Steps of the run, for schedules; the training loop sets it. Until then (0) they are over."""

    loss_weights: Mapping[str, float]
    """Weight of each term of `losses`; an ablation sets one to 0."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Unweighted scalar loss terms, with exactly the keys of `loss_weights`."""

    def after_step(self, step: int) -> None:
        """Called after an optimizer step (EMA teacher, codebook update). Default: nothing."""

    def monitors(self) -> dict[str, Tensor]:
        """Detached diagnostic scalars of the last `losses` call. Default: none."""
        return {}

    def compile_networks(self) -> None:
        """torch.compile the direct children with parameters; called if `machine.compile` is set."""
        for child in self.children():
            if next(child.parameters(), None) is not None:
                child.compile()

    def param_groups(self) -> list[dict[str, Any]]:
        """Optimizer groups; each may hold `lr_scale` and a fixed `weight_decay`.

        Default: every trainable parameter, with weight decay only on matrices (iBOT's rule: none
        on biases and on one-dimensional parameters).
        """
        return parameter_groups([([self], 1.0)])


class Pretraining(Method):
    """A method that learns a backbone from unlabelled crops.

    Its constructor takes `cfg` (the method's configuration), `vit` (the backbone's) and `views`.
    """

    @abstractmethod
    def backbone_state(self) -> dict[str, Tensor]:
        """The weights fine-tuning starts from, by timm's parameter names."""

    def draw(self, batch: Batch) -> dict[str, Image.Image]:
        """Pictures of what the trained method does with some crops, in eval mode: `rebuilt`,
        `key_points`. Default: none.
        """
        return {}

    def start_left(self, total_steps: int) -> float:
        """Share of the random start in `backbone_state` after a run, 0 to 1; known before it.

        Default: 0, since the network that is exported is the one that is trained.
        """
        return 0.0

    def start_advice(self, total_steps: int, most: float) -> str:
        """What to change so that at most `most` is left; empty or ending in a comma and a space."""
        return ""


class Reconstructor(Method):
    """A method that reconstructs right hands; scorers, `predict` and reports use only this."""

    mano: ManoHand
    """The hand model whose parameters it predicts."""
    image_size: int
    """Side of the network's input, px."""
    crop_scale: Float[Tensor, ""]
    """Crop side divided by the hand's longer side, in the training data; prediction crops alike."""
    sampling: Config | None = None
    """How it samples hypotheses (callers may replace it); None for a method that samples none."""

    @abstractmethod
    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """Predict the hands in images; call in eval mode, without gradients.

        Args:
            batch: uint8 square crops of any size, or normalised images of the input size, with
                their cameras, and detected keypoints if there are any. Labels are not read.
            generator: on the method's device, for reproducible sampling; None: torch's default.
            only_hands: skip confidences and colours where computing them costs time; they are
                then None.

        Returns:
            Hands in metres, in the camera frame of `batch`; `joints_2d` and `intrinsics` refer to
            the network's input size.

        Raises:
            ValueError: float images of another size than the network's input.
        """


def parameter_groups(parts: Iterable[tuple[Iterable[nn.Module], float]]) -> list[dict[str, Any]]:
    """Optimizer groups of networks, with weight decay only on matrices (iBOT's rule).

    Args:
        parts: networks, and the factor of their learning rate.
    """
    groups: list[dict[str, Any]] = []
    for modules, scale in parts:
        trainable = [p for module in modules for p in module.parameters() if p.requires_grad]
        matrices = [p for p in trainable if p.ndim > 1]
        vectors = [p for p in trainable if p.ndim <= 1]
        groups.append({"params": matrices, "lr_scale": scale})
        groups.append({"params": vectors, "lr_scale": scale, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]
