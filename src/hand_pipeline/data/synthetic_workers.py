"""Worker processes that draw blocks of pictures; what is drawn does not depend on who draws it."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from tqdm import tqdm

from hand_pipeline.data.synthetic_scene import HandPainter
from hand_pipeline.geometry.mano import ManoHand

Result = TypeVar("Result")
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


def run_blocks(
    draw: Callable[..., Result],
    tasks: Sequence[tuple[tuple[object, ...], int]],
    workers: int,
    description: str,
) -> Iterator[tuple[tuple[object, ...], Result]]:
    """Call `draw(*arguments)` for every task (arguments, number of pictures), as they finish.

    Args:
        draw: a function of a module, so that other processes can import it.
        workers: processes; 1 draws in this one.

    Raises:
        RuntimeError: a process died, usually for lack of memory.
    """
    total = sum(count for _, count in tasks)
    with tqdm(total=total, desc=description, unit="img", disable=None) as bar:
        if workers == 1 or len(tasks) <= 1:
            with _one_thread():
                for arguments, count in tasks:
                    yield arguments, draw(*arguments)
                    bar.update(count)
            return
        context = multiprocessing.get_context("spawn")  # forking a process with threads may hang
        with ProcessPoolExecutor(
            min(workers, len(tasks)), context, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            futures = {pool.submit(draw, *arguments): (arguments, n) for arguments, n in tasks}
            try:
                for future in as_completed(futures):
                    arguments, count = futures[future]
                    yield arguments, future.result()
                    bar.update(count)
            except BrokenProcessPool as error:
                raise RuntimeError(
                    "a drawing process died, probably for lack of memory. Run the same command "
                    "again with fewer workers: finished pictures are kept"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
