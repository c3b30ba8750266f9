"""Learn 3D hand meshes from images: HandMIM, MaskHand and S2HAND side by side."""

import os

__version__ = "0.1.0"

# Tensors of 2 MB and more on huge pages, where Linux has them on request: on a CPU, touching new
# memory page by page took a fifth of the time of making views. Torch reads it when it first needs
# memory; "0" switches it off.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
