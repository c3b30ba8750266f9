"""Every method's first losses and gradients: a change of computation must be seen and explained."""

import pytest
from tests.golden.golden import check_golden
from tests.golden.methods import METHODS, start
from torch import Tensor

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
