"""A pool of processes for parallel tasks; a process that dies fails only its own task."""

import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from multiprocessing import connection, parent_process
from typing import Any, TypeVar

from tqdm import tqdm

_PATIENCE = 10  # seconds before a process that should end is killed

Result = TypeVar("Result")


class ProcessDiedError(RuntimeError):
    """A process ended without finishing its task; the message has exit code and crash traceback.

    Attributes:
        started: False if it ended before it could take a task, so that no task is to blame.
    """

    started = True


class ProcessPool:
    """Up to `size` processes, each served by a thread; they also end if this process is killed.

    A task's error is raised with the traceback of its process as a note.

    Args:
        size: parallel tasks.
        preload: modules that the server, from which all processes are forked, imports once. They
            must not start threads or use a GPU. Only the first pool of a program sets them.
        reuse: whether a process takes further tasks; otherwise it ends and frees its memory.
    """

    def __init__(self, size: int, preload: Iterable[str] = (), reuse: bool = True) -> None:
        self.size, self._reuse = size, reuse
        # not forked from this process: a fork of a process with threads may hang
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(sorted({__name__, *preload}))
        self._threads = ThreadPoolExecutor(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._stopped = False

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Call `work(*arguments)`, a module-level function, as soon as a process is free.

        The future raises what `work` raises, or `ProcessDiedError`.
        """
        return self._threads.submit(self._call, work, arguments)

    def as_done(
        self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[tuple[Any, ...], Future[Result]]]:
        """Call `work` with each task's arguments; yields tasks and futures as they finish."""
        waiting = iter(tasks)
        running: dict[Future[Result], tuple[Any, ...]] = {}
        while True:  # few tasks at a time, so that few results wait in memory
            for task in islice(waiting, 3 * self.size - len(running)):
                running[self.submit(work, *task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future

    def stop(self) -> None:
        """End all processes; tasks that still run are interrupted."""
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.process.terminate()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._idle:
            worker.end()

    def _call(self, work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        with self._lock:
            if self._stopped:
                raise RuntimeError("the pool of processes has been stopped")
            worker = self._idle.pop() if self._idle else _Worker(self._context)
            self._all.add(worker)
        try:
            value, error = worker.answer(work, arguments)
        except ProcessDiedError:
            self._all.discard(worker)
            raise
        if self._reuse:
            self._idle.append(worker)
        else:
            self._all.discard(worker)
            worker.end()
        if error is not None:
            raise error
        return value


class _Worker:
    """One process of the pool, seen from the parent."""

    def __init__(self, context: multiprocessing.context.ForkServerContext) -> None:
        self._pipe, other = context.Pipe()
        self._crash = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed in `end`)
        self._started = False
        self.process = context.Process(
            target=_serve, args=(other, dict(os.environ), self._crash.name)
        )
        self.process.start()
        other.close()

    def answer(
        self, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> tuple[Any, Exception | None]:
        """What a task returns, or the exception it raises.

        Raises:
            ProcessDiedError: the process ended first.
        """
        task = pickle.dumps((work, arguments))
        with suppress(EOFError, ConnectionError):
            self._pipe.send_bytes(task)
            while True:
                # its children may keep the pipe open after its death, hence the sentinel
                connection.wait([self._pipe, self.process.sentinel])
                if not self._pipe.poll():
                    break
                message: tuple[Any, Exception | None] | None = self._pipe.recv()
                if message is not None:
                    return message
                self._started = True
        raise self._death()

    def _death(self) -> ProcessDiedError:
        crash = self.end()
        code = self.process.exitcode or 0
        how = f"with exit code {code}"
        if code < 0:
            how = f"by signal {-code} ({signal.Signals(-code).name})"
            how += ", which usually means that memory ran out" if code == -signal.SIGKILL else ""
        if not self._started:
            how += (
                " before it could take any work; its output above says why. A script that starts "
                'processes needs `if __name__ == "__main__":` around its work'
            )
        death = ProcessDiedError(f"its process ended {how}" + (f":\n{crash}" if crash else ""))
        death.started = self._started
        return death

    def end(self) -> str:
        """End the process, by force if necessary; returns the traceback of a crash, or ''."""
        self._pipe.close()
        self.process.join(_PATIENCE)
        self.process.kill()
        self.process.join()
        with self._crash as file:
            return file.read().decode(errors="replace").strip()


def _serve(pipe: connection.Connection, environment: dict[str, str], crash: str) -> None:
    """Run tasks until there are no more; in the worker process."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # `finally` blocks run
    os.environ.clear()  # it is the fork server's, which may be outdated
    os.environ.update(environment)
    with open(crash, "w") as file, suppress(EOFError):
        faulthandler.enable(file)
        pipe.send(None)
        while task := pipe.recv_bytes():
            try:
                work, arguments = pickle.loads(task)  # here, so that failed imports are reported
                answer = pickle.dumps((work(*arguments), None))
            except Exception as error:
                answer = pickle.dumps((None, _portable(error)))
            pipe.send_bytes(answer)
        faulthandler.disable()


def _end_with_parent() -> None:
    """End when the parent is killed, so that nothing disturbs whoever resumes its work."""
    if (parent := parent_process()) is not None:

        def end() -> None:
            connection.wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=end, daemon=True).start()


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError if it cannot be pickled."""
    error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)).rstrip())
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain


def run_blocks(
    work: Callable[..., Result],
    tasks: Sequence[tuple[tuple[Any, ...], int]],
    workers: int,
    description: str,
) -> Iterator[tuple[tuple[Any, ...], Result]]:
    """Call `work(*arguments)` for every task (arguments, number of images), as they finish.

    Args:
        work: a module-level function, so that other processes can import it; one torch thread.
        tasks: arguments are sent to the processes, so pass paths rather than images.
        workers: processes; with 1, or a single task, this process does the work.
        description: of the progress bar.

    Raises:
        ProcessDiedError: a process died.
    """
    with tqdm(total=sum(n for _, n in tasks), desc=description, unit="img", disable=None) as bar:
        if workers == 1 or len(tasks) <= 1:
            for arguments, count in tasks:
                yield arguments, _in_one_thread(work, arguments, count)
                bar.update(count)
            return
        with ProcessPool(min(workers, len(tasks)), [work.__module__]) as pool:
            every = ((work, arguments, count) for arguments, count in tasks)
            for (_, arguments, count), future in pool.as_done(_in_one_thread, every):
                if isinstance(error := future.exception(), ProcessDiedError):
                    raise ProcessDiedError(
                        f"{description}: {error}\nRun the same command again (with fewer workers "
                        "if memory ran out): finished images are kept"
                    ) from error
                yield arguments, future.result()
                bar.update(count)


def _in_one_thread(work: Callable[..., Result], arguments: tuple[Any, ...], _: int) -> Result:
    import torch  # not at the top: processes of other pools do not need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return work(*arguments)
    finally:
        torch.set_num_threads(threads)
