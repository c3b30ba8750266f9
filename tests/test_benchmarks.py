"""Every script in benchmarks/ still runs, at its smallest size; its figures are not looked at."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL: dict[str, list[str]] = {
    "augmentation": ["--cores", "1", "--batch", "2", "--repeats", "1"],
    "evaluation": ["--sets", "freihand", "--hands", "8", "--reference", "5"],
    "masked_heads": ["--batch", "2", "--repeats", "1"],
    "posing": ["--batches", "2", "--repeats", "1"],
    "prediction": ["--count", "1", "--runs", "1"],
    "pretrain_throughput": ["--batch", "2", "--steps", "2", "--crops", "8"],
    "rasterizer": ["--size", "32", "--batch", "1", "--seconds", "0.1"],
    "renderer_gradients": ["--size", "32", "--batch", "2", "--repeats", "1"],
    "self_intersection": ["--meshes", "1", "--seconds", "0.1"],
    "sweep_overhead": ["--members", "1"],
    "shards": ["--count", "20", "--repeats", "1"],
    "synthetic": ["--count", "4", "--sizes", "32", "--workers", "1"],
    "synthetic_realism": ["--count", "2", "--size", "64", "--passes", "1"],
    "token_sampling": [
        "--encoders",
        "vit_tiny_patch16_224",
        "--image-size",
        "32",
        "--batches",
        "1",
        "--hypotheses",
        "2",
        "--repeats",
        "1",
    ],
}
NEED_MORE = {"detector"}  # two worker processes with MediaPipe: run by hand


def test_every_script_is_named_here() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == SMALL.keys() | NEED_MORE


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_script_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *SMALL[name]])
    threads, code = torch.get_num_threads(), None
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        code = end.code
    finally:
        torch.set_num_threads(threads)
    assert code in (None, 0, 1)  # 1: short of its goal, as a tiny run may be
