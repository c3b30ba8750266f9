"""Learn 3D hand meshes from images: HandMIM, MaskHand and S2HAND side by side."""

import os

__version__ = "0.1.0"

# Huge pages for tensors of 2 MB and more, where Linux offers them: page faults took a fifth of the
# time of making views on a CPU. Torch reads it at its first allocation; "0" switches it off.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
