"""Learn 3D hand meshes from images: HandMIM, MaskHand and S2HAND side by side."""

import os
from typing import Any

__version__ = "0.1.0"
__all__ = ["HandReconstructor"]

# Huge pages for tensors of 2 MB and more, where Linux offers them: page faults took a fifth of the
# time of making views on a CPU. Torch reads it at its first allocation; "0" switches it off.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def __getattr__(name: str) -> Any:
    """`HandReconstructor`, which loads torch: only for who asks for it."""
    if name == "HandReconstructor":
        from hand_pipeline.api.reconstructor import HandReconstructor

        return HandReconstructor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
