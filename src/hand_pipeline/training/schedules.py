"""Schedules as pure functions of the step, so they have no state to save."""

import math


def cosine(step: int, total: int, start: float, final: float) -> float:
    """Half a cosine from `start` at step 0 to `final` at step `total` and after.

    iBOT uses it for the weight decay (0.04 to 0.4) and the teacher momentum (0.996 to 1).
    """
    progress = min(max(step / max(total, 1), 0.0), 1.0)
    return final + (start - final) * 0.5 * (1 + math.cos(math.pi * progress))


def linear(step: int, total: int, start: float, final: float) -> float:
    """A line from `start` at step 0 to `final` at step `total`, then `final`.

    iBOT uses it for the teacher temperature (0.04 to 0.07 in 30 epochs). `total` 0: constant.
    """
    if step >= total:
        return final
    return start + (final - start) * max(step, 0) / total


def warmup_cosine(
    step: int, total: int, peak: float, warmup: int, final: float = 1e-6, start: float = 0.0
) -> float:
    """The learning rate of DINO and iBOT: linear to `peak` over `warmup` steps, cosine to `final`.

    Args:
        step: from 0.
        total: steps of the run.
        peak: value at the end of the warm-up.
        warmup: steps of the warm-up; in iBOT 10 epochs.
        final: value at `total`; in iBOT 1e-6.
        start: value at step 0; in iBOT 0.
    """
    if step < warmup:
        return linear(step, warmup, start, peak)
    return cosine(step - warmup, total - warmup, peak, final)


def warmup_steps_down(step: int, peak: float, warmup: int, every: int, factor: float) -> float:
    """Step decay of the learning rate; S2HAND: halved every 30 epochs, then /3 every 20.

    Args:
        step: from 0.
        peak: value until the first decay.
        warmup: steps of a linear warm-up from 0; it does not delay the decays.
        every: steps between decays, counted from step 0.
        factor: of each decay.
    """
    if step < warmup:
        return linear(step, warmup, 0.0, peak)
    return float(peak * factor ** (step // every))
