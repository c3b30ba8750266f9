"""Weights into a network, strictly: a mismatch is an error that says what differs."""

from collections.abc import Mapping

from torch import Tensor, nn

_SHOWN = 6


class CheckpointMismatchError(ValueError):
    """The weights belong to another architecture."""


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy `state` into `network`.

    Args:
        network: takes the weights.
        state: by name; must have exactly the network's names and shapes.
        origin: where they come from, for the message.

    Raises:
        CheckpointMismatchError: names or shapes differ; the message lists which, expected and got.
    """
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    shapes = [
        f"{name}: expected {tuple(expected[name].shape)}, got {tuple(state[name].shape)}"
        for name in sorted(expected.keys() & state.keys())
        if expected[name].shape != state[name].shape
    ]
    if missing or unexpected or shapes:
        raise CheckpointMismatchError(
            f"{origin} holds the weights of another architecture.\n"
            f"  missing from it ({len(missing)}): {_listed(missing)}\n"
            f"  not in this network ({len(unexpected)}): {_listed(unexpected)}\n"
            f"  other shapes ({len(shapes)}): {_listed(shapes)}\n"
            "Use the configuration it was trained with, or train it again with the present one."
        )
    network.load_state_dict(dict(state))


def _listed(names: list[str]) -> str:
    rest = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest if names else "none"
