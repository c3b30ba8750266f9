"""The root's depth against Iqbal et al.'s coefficients written out, and against a root finder."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from hand_pipeline.geometry.scaled_depth import root_depth


def written_out(x: np.ndarray, y: np.ndarray, z: np.ndarray, n: int, m: int) -> float:
    """a, b and c as the paper prints them."""
    a = (x[n] - x[m]) ** 2 + (y[n] - y[m]) ** 2
    b = 2 * (
        z[n] * (x[n] ** 2 + y[n] ** 2 - x[n] * x[m] - y[n] * y[m])
        + z[m] * (x[m] ** 2 + y[m] ** 2 - x[n] * x[m] - y[n] * y[m])
    )
    c = (x[n] * z[n] - x[m] * z[m]) ** 2 + (y[n] * z[n] - y[m] * z[m]) ** 2
    c += (z[n] - z[m]) ** 2 - 1
    return float((-b + np.sqrt(b * b - 4 * a * c)) / (2 * a))


@pytest.mark.parametrize("bone", [(0, 5), (9, 10), (10, 9)])
def test_root_depth_matches_the_printed_coefficients_and_the_length_it_must_give(
    bone: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    rays = rng.uniform(-0.3, 0.3, size=(20, 21, 2))
    depths = rng.uniform(-0.4, 0.4, size=(20, 21))
    ours = root_depth(torch.from_numpy(rays), torch.from_numpy(depths), bone).numpy()
    for hand in range(20):
        x, y, z = rays[hand, :, 0], rays[hand, :, 1], depths[hand]
        assert ours[hand] == pytest.approx(written_out(x, y, z, *bone), rel=1e-9)

        def excess(root: float, x=x, y=y, z=z) -> float:
            ends = [(z[j] + root) * np.array([x[j], y[j], 1.0]) for j in bone]
            return float(np.linalg.norm(ends[0] - ends[1]) - 1)

        solved = brentq(excess, ours[hand] - 0.5, ours[hand] + 0.5)
        assert ours[hand] == pytest.approx(solved, abs=1e-9)
