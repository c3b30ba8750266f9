"""Blocks of pictures that worker processes draw; what is drawn does not depend on who draws it."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hand_pipeline.data.synthetic.scene import HandPainter
from hand_pipeline.geometry.mano import ManoHand

BLOCK = 32  # pictures that are posed together; fixed, so that labels do not depend on the request


class Block(NamedTuple):
    """Consecutive pictures `first` to `last` - 1; `first` is a multiple of BLOCK."""

    first: int
    last: int


def blocks(count: int) -> list[Block]:
    """Pictures 0 to `count` - 1 in blocks."""
    return [Block(first, min(first + BLOCK, count)) for first in range(0, count, BLOCK)]


@lru_cache(maxsize=1)
def painter(mano_model: Path | None) -> HandPainter:
    """This process's painter, with FreiHAND's finger tips; made when first asked for."""
    return HandPainter(ManoHand(mano_model, tips="freihand"))
