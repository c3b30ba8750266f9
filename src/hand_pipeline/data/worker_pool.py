"""Worker processes that take tasks one after the other, with a progress bar."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import torch
from tqdm import tqdm

Result = TypeVar("Result")


def run_blocks(
    work: Callable[..., Result],
    tasks: Sequence[tuple[tuple[object, ...], int]],
    workers: int,
    description: str,
) -> Iterator[tuple[tuple[object, ...], Result]]:
    """Call `work(*arguments)` for every task (arguments, number of pictures), as they finish.

    Args:
        work: a function of a module, so that other processes can import it.
        tasks: all of them are sent to the processes at once: give paths rather than pictures.
        workers: processes; 1, or a single task, works in this one.
        description: of the progress bar.

    Raises:
        RuntimeError: a process died, usually for lack of memory.
    """
    total = sum(count for _, count in tasks)
    with tqdm(total=total, desc=description, unit="img", disable=None) as bar:
        if workers == 1 or len(tasks) <= 1:
            with _one_thread():
                for arguments, count in tasks:
                    yield arguments, work(*arguments)
                    bar.update(count)
            return
        context = multiprocessing.get_context("spawn")  # forking a process with threads may hang
        with ProcessPoolExecutor(
            min(workers, len(tasks)), context, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            futures = {pool.submit(work, *arguments): (arguments, n) for arguments, n in tasks}
            try:
                for future in as_completed(futures):
                    arguments, count = futures[future]
                    yield arguments, future.result()
                    bar.update(count)
            except BrokenProcessPool as error:
                raise RuntimeError(
                    "a worker process died, probably for lack of memory. Run the same command "
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
