"""The contract between a paper and everything else: what trains, and what predicts hands."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses
from hand_pipeline.geometry.mano import ManoHand


class Method(nn.Module, ABC):
    """One paper, as the training loop sees it.

    Randomness: before every step the loop seeds torch's global generators from (seed, step, rank),
    so whatever `losses` draws (views, masks, dropout) is a function of the step alone, and a
    resumed run draws the same.
    """

    name: ClassVar[str] = ""
    """Its key in `methods.METHODS`; checkpoints hold it."""

    configs: Mapping[str, Config] = MappingProxyType({})
    """The constructor's arguments by name; checkpoints hold them."""

    total_steps: int = 0
    """Steps of the run, for schedules; the training loop sets it. Before, they are at their end."""

    loss_weights: Mapping[str, float]
    """Weight of each term of `losses`; an ablation sets one to 0."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Unweighted scalar loss terms, with exactly the keys of `loss_weights`."""

    def after_step(self, step: int) -> None:
        """What follows an optimizer step: EMA teacher, codebook upkeep. Default: nothing."""

    def monitors(self) -> dict[str, Tensor]:
        """Detached scalars of the last `losses` call that show its health. Default: none."""
        return {}

    def compile_networks(self) -> None:
        """torch.compile the direct children that are networks; `machine.compile` asks for it."""
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

    Its constructor takes `cfg` (its own numbers), `vit` (the backbone) and `views`.
    """

    @abstractmethod
    def backbone_state(self) -> dict[str, Tensor]:
        """The weights fine-tuning starts from, under timm's names."""


class Reconstructor(Method):
    """A method that reconstructs right hands: all that scores, `predict` and reports know of it."""

    mano: ManoHand
    """The hand model it predicts the parameters of."""
    image_size: int
    """Side of the network's input, px."""
    crop_scale: Float[Tensor, ""]
    """Side of the training images over the longer side of the hands in them: to be set from the
    data, and to be cut alike in prediction."""
    sampling: Config | None = None
    """How it draws its hypotheses, to be replaced by whoever wants them drawn otherwise; None of a
    method that draws nothing."""

    @abstractmethod
    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """Hands of images; call in eval mode, without gradients.

        Args:
            batch: uint8 square crops of any size, or normalised images of the input size, with
                their cameras, and keypoints where a detector has looked. Labels are not read.
            generator: of the method's device, for draws that repeat; None: torch's own.
            only_hands: the caller looks at no confidence and no colour: what costs time is left
                out, and is None.

        Returns:
            Metres in the camera of `batch`; `joints_2d` and `intrinsics` of the result belong to
            the network's input size.

        Raises:
            ValueError: float images of another size than the network's input.
        """


def parameter_groups(parts: Iterable[tuple[Iterable[nn.Module], float]]) -> list[dict[str, Any]]:
    """Optimizer groups of networks, each split by weight decay: on matrices alone (iBOT's rule).

    Args:
        parts: networks, and their learning rate relative to the schedule's.
    """
    groups: list[dict[str, Any]] = []
    for modules, scale in parts:
        trainable = [p for module in modules for p in module.parameters() if p.requires_grad]
        matrices = [p for p in trainable if p.ndim > 1]
        vectors = [p for p in trainable if p.ndim <= 1]
        groups.append({"params": matrices, "lr_scale": scale})
        groups.append({"params": vectors, "lr_scale": scale, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]
