"""Geometry is computed in full precision, whatever the network around it uses.

In bfloat16 a pixel coordinate of 200 is known to one pixel, and a matrix product under autocast
silently becomes bfloat16.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R")


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run `function` outside autocast, its half precision tensor arguments made float32."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> _R:
        wide = [_widen(value) for value in args]
        named = {name: _widen(value) for name, value in kwargs.items()}
        device = next(x.device.type for x in (*wide, *named.values()) if isinstance(x, Tensor))
        if not torch.amp.is_autocast_available(device):
            return function(*wide, **named)
        with torch.autocast(device, enabled=False):
            return function(*wide, **named)

    return wrapped


def _widen(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value
