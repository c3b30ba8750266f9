"""Seeds as pure functions of (seed, step, rank), so they have no state to save."""

import numpy as np
import torch


def derive_seed(*parts: int) -> int:
    """A 63-bit seed that depends on every part; nearby parts give unrelated seeds."""
    low, high = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return int(low) | (int(high) & 0x7FFFFFFF) << 32


def seed_everything(*parts: int) -> None:
    """Seed torch's global generators (CPU and every GPU) from `parts`."""
    torch.manual_seed(derive_seed(*parts))
