"""Every method's first losses and gradients: a change of computation must be seen and explained."""

import pytest
from tests.golden.golden import check_golden, first_lines
from tests.golden.methods import METHODS, start
from torch import Tensor

from hand_pipeline.methods.maskhand.codebook import Codebook
from hand_pipeline.training.method import Method


@pytest.mark.parametrize("name", METHODS)
def test_the_first_steps_are_the_golden_ones(name: str) -> None:
    check_golden(name, *start(name))


def weight_is_off(method: Method) -> None:
    method.loss_weights = {**method.loss_weights, "depth": 1.001 * method.loss_weights["depth"]}


def term_is_off(method: Method) -> None:
    change_depth(method, lambda term: 1.001 * term)


def gradient_is_off(method: Method) -> None:
    change_depth(method, lambda term: term + 0.001 * (term - term.detach()))


def change_depth(method: Method, change) -> None:
    plain = method.losses

    def losses(batch, step: int) -> dict[str, Tensor]:
        terms = plain(batch, step)
        return {**terms, "depth": change(terms["depth"])}

    method.losses = losses  # type: ignore[method-assign]


@pytest.mark.parametrize("change", [weight_is_off, term_is_off, gradient_is_off])
def test_a_change_of_a_thousandth_is_seen(change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDEN", raising=False)  # here, too, it would be written
    method, batch, steps = start("keypoint_probe")
    change(method)
    with pytest.raises(AssertionError, match=r"keypoint_probe is off its golden: 0:depth by"):
        check_golden("keypoint_probe", method, batch, steps)


@pytest.mark.parametrize("name", ["vq_mano", "maskhand", "maskhand_text"])
def test_rounding_chooses_no_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second nearest code is farther away by a share that no rounding in float64 reaches."""
    nearest, margins = Codebook.nearest, []

    def measured(self: Codebook, rows: Tensor) -> Tensor:
        squares = (rows[:, None] - self.embeddings).square().sum(2)
        first, second = squares.topk(2, largest=False).values.unbind(1)
        size = rows.square().sum(1) + self.embeddings.square().sum(1).max()  # of what is rounded
        margins.append(((second - first) / size).min().item())
        return nearest(self, rows)

    monkeypatch.setattr(Codebook, "nearest", measured)
    first_lines(*start(name))
    assert min(margins) > 1e-4


def test_the_tokenizers_golden_shows_a_code_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    follow, replaced = Codebook._follow, []

    def counted(self: Codebook, rows: Tensor, ids: Tensor, counts: Tensor, others: Tensor) -> None:
        average = self.counts * self.decay + counts * (1 - self.decay)
        replaced.append(bool((average < self.threshold).any()))
        follow(self, rows, ids, counts, others)

    monkeypatch.setattr(Codebook, "_follow", counted)
    method, batch, steps = start("vq_mano")
    first_lines(method, batch, steps)
    assert any(replaced[: steps - 1])  # no step shows what the last one replaces
