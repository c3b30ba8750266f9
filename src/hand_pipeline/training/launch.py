"""Run one function on several processes of this machine, from inside one Kedro node."""

import copy
import uuid
from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def launch(function: Callable[..., Any], *args: Any, devices: int) -> Any:
    """Call `function(*args)` on `devices` ranks; return what rank 0 returns.

    With one device this is a plain call. In the ranks `torch.distributed` is initialised. For
    several machines start the stage under `torchrun` or `srun`, whose variables take precedence.

    Args:
        function: importable by name, since each rank is a new process.
        args: picklable. Each rank gets a deep copy: torch passes CPU tensors to spawned processes
            in shared memory, and ranks that update the same weights would train wrongly without
            any error.
    """
    if devices == 1:
        return function(*args)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=devices, rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0", run_id=uuid.uuid4().hex, max_restarts=0,
        start_method="spawn", monitor_interval=0.1,
    )  # fmt: skip
    return elastic_launch(config, _rank)(function, args)[0]


def _rank(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        return function(*copy.deepcopy(args))
    finally:
        torch.distributed.destroy_process_group()
