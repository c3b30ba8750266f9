"""Let `import timm` work where torchvision's compiled operators cannot be loaded.

timm (and lightly, in the tests) import torchvision at once. A CPU build of torch beside a CUDA
build of torchvision, the only one on some package indexes, fails there with "operator
torchvision::nms does not exist", although nothing here ever calls such an operator.
"""

import importlib
import sys
from types import ModuleType

import torch

_REGISTERED_WITHOUT_KERNELS = ("nms", "qnms")
"""The operators for which torchvision registers shapes at import, whether or not they exist."""

_libraries: list[torch.library.Library] = []
"""Keeps the declared schemas alive: torch forgets them with their Library object."""


def ensure_torchvision() -> ModuleType:
    """Import torchvision; declare its two missing operator schemas first where that is needed.

    Does nothing but import where torchvision is healthy. Call it before `import timm`. With the
    schemas declared, everything in torchvision that is written in Python works, and `ops.nms`
    raises its own clear error.

    Raises:
        RuntimeError, OSError: torchvision cannot be imported for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except (RuntimeError, OSError) as error:
        if "torchvision" not in str(error) or _libraries:
            raise
    for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in _REGISTERED_WITHOUT_KERNELS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
    return importlib.import_module("torchvision")
