"""Tasks in other processes: each ends with its result or with what went wrong, and none hangs."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hand_pipeline.files import DiskFullError
from hand_pipeline.processes import ProcessDiedError, ProcessPool, run_blocks

ROOT = Path(__file__).parents[1]


def task(what: object) -> object:
    """What a test asks for: a number is squared, a word says how to end."""
    if what == "raise":
        raise ValueError("7 is no hand")
    if what == "disk":
        raise DiskFullError(28, "no room")
    if what == "strange":
        raise StrangeError(1, 2)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leave":
        os._exit(3)
    if what == "crash":
        faulthandler._sigsegv()
    if what == "pid":
        return os.getpid()
    if isinstance(what, Path):
        while not what.exists():
            time.sleep(0.01)
        return 0
    if isinstance(what, float):
        time.sleep(what)
    return what * what  # type: ignore[operator]


class StrangeError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    with ProcessPool(2) as pool:
        yield pool


def test_results_come_with_their_tasks_and_slow_ones_hold_up_no_others(
    pool: ProcessPool, tmp_path: Path
) -> None:
    others_are_done = tmp_path / "done"
    done = {}
    for (what,), future in pool.as_done(task, [(others_are_done,), (3,), (4,)]):
        done[what] = future.result()
        if len(done) == 2:
            others_are_done.touch()  # before, the first task cannot end
    assert done == {3: 9, 4: 16, others_are_done: 0}


def test_an_error_keeps_its_type_and_has_the_traceback_of_its_process(pool: ProcessPool) -> None:
    with pytest.raises(ValueError, match="7 is no hand") as error:
        pool.submit(task, "raise").result()
    assert 'raise ValueError("7 is no hand")' in error.value.__notes__[0]
    with pytest.raises(DiskFullError, match="no room"):
        pool.submit(task, "disk").result()
    with pytest.raises(RuntimeError, match="StrangeError: 1 and 2"):
        pool.submit(task, "strange").result()


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("kill", r"by signal 9 \(SIGKILL\), which usually means that memory ran out"),
        ("leave", "with exit code 3$"),
        ("crash", r"by signal 11 \(SIGSEGV\):\n(?s:.)*test_processes.py\", line \d+ in task"),
    ],
)
def test_a_process_that_dies_is_told_and_takes_no_other_task_with_it(
    pool: ProcessPool, end: str, how: str
) -> None:
    found = dict(pool.as_done(task, [(end,), (1.0,), (5,), (6,)]))
    with pytest.raises(ProcessDiedError, match=f"its process ended {how}") as death:
        found.pop((end,)).result()
    assert death.value.started
    assert {arguments: future.result() for arguments, future in found.items()} == {
        (1.0,): 1.0, (5,): 25, (6,): 36
    }  # fmt: skip


def test_a_task_that_cannot_be_imported_says_why(pool: ProcessPool, tmp_path: Path) -> None:
    (tmp_path / "broken_tasks.py").write_text("def work(): ...")
    sys.path.insert(0, str(tmp_path))
    try:
        from broken_tasks import work
    finally:
        sys.path.remove(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="broken_tasks"):
        pool.submit(work).result()


def test_a_process_may_serve_many_tasks_or_one() -> None:
    with ProcessPool(1) as pool:
        assert len({pool.submit(task, "pid").result() for _ in range(3)}) == 1
    with ProcessPool(1, reuse=False) as pool:
        assert len({pool.submit(task, "pid").result() for _ in range(3)}) == 3


def test_processes_have_the_environment_of_the_moment_they_start(monkeypatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("PROCESS_TEST", value)
        with ProcessPool(1) as pool:
            assert pool.submit(os.getenv, "PROCESS_TEST").result() == value


def test_stopping_interrupts_what_runs() -> None:
    began = time.monotonic()
    with ProcessPool(1) as pool:
        assert pool.submit(task, 3).result() == 9  # it runs
        running, waiting = pool.submit(task, 60.0), pool.submit(task, 4)
        while not running.running():
            time.sleep(0.01)
    assert time.monotonic() - began < 30
    assert running.exception() is not None
    assert waiting.cancelled()


def run_script(folder: Path, text: str) -> subprocess.Popen[str]:
    (folder / "script.py").write_text("from hand_pipeline.processes import *\n" + text)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(folder / "script.py")]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_process_that_dies_on_import_is_not_put_down_to_memory(tmp_path: Path) -> None:
    text = "with ProcessPool(1) as pool:\n    pool.submit(print).result()\n"
    _, errors = run_script(tmp_path, text).communicate(timeout=60)
    assert "its process ended with exit code 1 before it could take any work" in errors
    assert "An attempt has been made to start a new process before" in errors
    assert "memory" not in errors


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    text = (
        "import os, time\n"
        'if __name__ == "__main__":\n'
        "    with ProcessPool(1) as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        pool.submit(time.sleep, 60).result()\n"
    )
    script = run_script(tmp_path, text)
    assert script.stdout is not None
    worker = int(script.stdout.readline())
    script.kill()
    script.communicate()
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker still runs")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_are_done_here_or_elsewhere(workers: int) -> None:
    tasks = [((number,), 10) for number in range(5)]
    found = dict(run_blocks(task, tasks, workers, "squares"))
    assert found == {(number,): number * number for number in range(5)}


@pytest.mark.slow
def test_a_block_that_dies_says_what_to_do() -> None:
    with pytest.raises(ProcessDiedError, match=r"drawing: its process .*3\nRun the same command"):
        list(run_blocks(task, [((2,), 1), (("leave",), 1)], 2, "drawing"))
