"""The contract between a paper and the training loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hand_pipeline.data.batch import Batch


class Method(nn.Module, ABC):
    """One paper, as the training loop sees it.

    Randomness: before every step the loop seeds torch's global generators from (seed, step, rank),
    so whatever `losses` draws (views, masks, dropout) is a function of the step alone, and a
    resumed run draws the same.
    """

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
        trainable = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trainable if p.ndim > 1]},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
