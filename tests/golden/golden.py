"""What a golden states of a method: numbers that rounding cannot move, and how they are compared.

A method's parameters are set, a batch is given, and a step or two are taken without an optimizer.
Of every loss term it states the weight, the loss, the length of its gradient over all trained
parameters, and where that gradient points: its products with fixed directions. No golden follows a
training run: Adam divides a gradient that is nothing but rounding by its own size, so two
processors are apart after a few steps.

Everything is in float64, since batch norms over four hands and 2 x 2 maps magnify rounding: in
float32 two instruction sets were up to 15 % of a gradient apart in S2HAND, 1e-5 in PeCLR. Weights
and directions are numpy's draws: torch's normal numbers differ by 2e-6 between instruction sets.

Largest distance of 12 settings (ATEN_CPU_CAPABILITY default and avx2, which is what unset means
there; ONEDNN_MAX_CPU_ISA SSE41, AVX2, unset; 1 and 2 threads) from the first of them, as a share of
the loss or of the gradient's length, on an AMD Zen 3, without AVX-512, with torch 2.13.0
(`python -m tests.golden.spread`):

    handmim 2e-15, ibot 9e-16, peclr 7e-14, keypoint_probe 1e-15, pymaf 2e-15, s2hand 6e-9,
    vq_mano 6e-15, maskhand 8e-15, maskhand_text 2e-15

The tolerance, 1e-6, is more than a hundred times that; a change of a thousandth is far above it.
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from hand_pipeline import geometry
from hand_pipeline.data.batch import Batch
from hand_pipeline.training.method import Method

TOLERANCE = 1e-6
DIRECTIONS = 4
VECTOR_SPREAD = 0.1


class Line(NamedTuple):
    """One term of one step.

    Attributes:
        name: step and term; `total` is the weighted sum.
        weight: of the term; 1 of the total.
        loss: without its weight.
        gradient: its length, then its products with the directions.
    """

    name: str
    weight: float
    loss: float
    gradient: tuple[float, ...]


def check_golden(name: str, method: Method, batch: Batch, steps: int) -> None:
    """Compare a method's first losses and gradients with `<name>.txt`.

    With the environment variable GOLDEN=write the file is written instead.

    Args:
        name: of the golden.
        method: in float64 and training mode; its parameters are overwritten.
        batch: what `losses` takes, in float64.
        steps: how many; one where nothing is drawn and a step leaves nothing behind.
    """
    found = first_lines(method, batch, steps)
    if os.environ.get("GOLDEN") == "write":
        golden_file(name).write_text(_format(found))
        return
    golden = parse(golden_file(name).read_text())
    assert [line.name for line in found] == [line.name for line in golden]
    off = [
        f"{line.name} by {size:.1e}"
        for line, wanted in zip(found, golden)
        if not (size := distance(line, wanted)) <= TOLERANCE
    ]
    assert not off, f"{name} is off its golden: {', '.join(off)}"


def first_lines(method: Method, batch: Batch, steps: int) -> list[Line]:
    """All terms of the first steps; arguments as for `check_golden`."""
    set_parameters(method)
    named = [(name, p) for name, p in sorted(method.named_parameters()) if p.requires_grad]
    trained = [p for _, p in named]
    rng = np.random.default_rng(1)
    directions = [rng.standard_normal((DIRECTIONS, p.numel())) for p in trained]
    lines = []
    with in_float64():
        for step in range(steps):
            torch.manual_seed(step)
            terms = method.losses(batch, step)
            weights = {name: float(method.loss_weights[name]) for name in terms}
            total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            for name, term in {**terms, "total": total}.items():
                gradients = torch.autograd.grad(term, trained, retain_graph=True, allow_unused=True)
                along = _along(gradients, directions)
                lines.append(Line(f"{step}:{name}", weights.get(name, 1.0), term.item(), along))
            method.after_step(step)  # what it leaves behind, such as a teacher, the next step shows
    return lines


def set_parameters(method: Method) -> None:
    """Draw the parameters with numpy: matrices about as wide as they were, vectors near by.

    As wide to the nearest power of two, so that a difference of torch's draws is gone. Vectors
    must move, too: where a batch norm finds nothing but rounding in a channel, only a bias other
    than 0 keeps the ReLU after it from opening by chance.
    """
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(method.named_parameters()):
            drawn = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)))
            if parameter.ndim < 2:
                parameter += VECTOR_SPREAD * drawn
            elif spread := parameter.std().item():
                parameter.copy_(drawn * 2.0 ** round(math.log2(spread)))


@contextmanager
def in_float64() -> Iterator[None]:
    """Everything in float64, also where a method says `.float()` to be in float32 at least."""
    narrow, before = Tensor.float, torch.get_default_dtype()

    def at_least_float(values: Tensor) -> Tensor:
        caller = sys._getframe(1).f_globals["__name__"]
        # geometry sorts by the bits of a float32, of distances that no gradient passes through
        return narrow(values) if caller.startswith(geometry.__name__) else values.double()

    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(Tensor, "float", at_least_float):
            yield
    finally:
        torch.set_default_dtype(before)


def distance(found: Line, golden: Line) -> float:
    """The largest difference of two lines, as a share of weight, loss or gradient's length."""
    length = golden.gradient[0]
    return max(
        _share(found.weight - golden.weight, golden.weight),
        _share(found.loss - golden.loss, golden.loss),
        *(_share(a - b, length) for a, b in zip(found.gradient, golden.gradient, strict=True)),
    )


def golden_file(name: str) -> Path:
    """Where a golden lies."""
    return Path(__file__).with_name(f"{name}.txt")


def parse(text: str) -> list[Line]:
    """The lines of a golden's file."""
    rows = [row.split() for row in text.splitlines() if not row.startswith("#")]
    numbers = [(name, [float(number) for number in row]) for name, *row in rows]
    return [Line(name, row[0], row[1], tuple(row[2:])) for name, row in numbers]


def _share(difference: float, of: float) -> float:
    if difference == 0:
        return 0.0
    return abs(difference) / abs(of) if of else math.inf


def _along(gradients: tuple[Tensor | None, ...], directions: list[np.ndarray]) -> tuple[float, ...]:
    square, products = 0.0, np.zeros(DIRECTIONS)
    for gradient, direction in zip(gradients, directions, strict=True):
        if gradient is not None:
            flat = gradient.flatten().numpy()
            square += float(flat @ flat)
            products += direction @ flat
    return (math.sqrt(square), *products.tolist())


def _format(lines: list[Line]) -> str:
    rows = [
        " ".join([name, *(format(number, ".12g") for number in (weight, loss, *gradient))])
        for name, weight, loss, gradient in lines
    ]
    header = [
        "# step:term, weight, loss, length of its gradient, products with four directions",
        "# After a change of the computation `GOLDEN=write python -m pytest tests/golden` writes",
        "# this file anew; the commit says why.",
    ]
    return "\n".join([*header, *rows, ""])
