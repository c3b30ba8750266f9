"""`python -m hand_pipeline sweeps`: run sweeps in turn, with a line and the time of each."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
import yaml

from hand_pipeline.sweeps.declaration import declared_sweeps

GROUND = ("synthesize", "collect", "detect", "pretrain", "finetune")
"""Stages whose results sweeps need: crops, labelled hands, keypoints, a fine-tuned ViT."""
CONF = Path("conf")
STAGES = "sweeps/dvc.yaml"


@dataclass(frozen=True)
class Ended:
    """Exit status and duration of a `kedro run` or `dvc repro`."""

    status: int
    seconds: float


@click.command("sweeps")
@click.argument("names", nargs=-1)
@click.option("--env", "profile", default="smoke", show_default=True, help="Profile: conf/NAME.")
@click.option("--workers", type=click.IntRange(min=1), help="Units that run in parallel.")
def sweeps(names: tuple[str, ...], profile: str, workers: int | None) -> None:
    """Run the sweeps NAMES (default: all), then the page of the papers' claims.

    Finished work is not repeated; missing inputs are made first. Each sweep's output is kept in
    DATA/sweeps/NAME/output.txt. In the base profile DVC first updates the sweeps' inputs, and
    records the results of sweeps without a failed run. Exit code 1: a sweep failed.
    """
    data = _data_root(profile)
    chosen = _chosen(names, profile)
    if profile == "base":
        _print_line("inputs", _lay_ground(data))
    options = ["--params", f"machine.sweep_workers={workers}"] if workers else []
    ended: dict[str, Ended] = {}
    for name in chosen:
        ended[name] = _call([*_kedro(profile, name), *options], _output(data, name))
        if ended[name].status:
            _print_line(name, ended[name])
            continue
        runs = pd.read_csv(data / "08_reporting" / f"{name}_runs_table.csv")
        bad = runs[runs["status"] != "finished"]
        _print_line(name, ended[name], _members(runs, bad))
        if profile == "base" and bad.empty:
            _commit(name)
    failed = [name for name, end in ended.items() if end.status]
    count = "1 sweep" if len(chosen) == 1 else f"{len(chosen)} sweeps"
    click.echo(f"{count}: {_clock(sum(end.seconds for end in ended.values()))}")
    claims = _call(_kedro(profile, "claims"), _output(data, "claims"))
    _print_line("claims", claims, str((data / "08_reporting/claims.html").resolve()))
    for name in [*failed, *(["claims"] if claims.status else [])]:
        click.echo(f"\n{name} failed:\n{_end_of(_output(data, name))}")
    if failed or claims.status:
        raise SystemExit(1)


def _chosen(names: tuple[str, ...], profile: str) -> list[str]:
    known = list(declared_sweeps(CONF / "base") | declared_sweeps(CONF / profile))
    if unknown := set(names) - set(known):
        raise click.ClickException(f"no sweep {sorted(unknown)}; there are {', '.join(known)}")
    return list(dict.fromkeys(names)) or known


def _data_root(profile: str) -> Path:
    files = {path.parent.name: path for path in sorted(CONF.glob("*/globals.yml"))}
    if not files:
        raise click.ClickException(f"no {CONF} here: run this in the project's folder")
    if profile not in files:
        raise click.ClickException(f"no profile {profile!r}; there are {', '.join(files)}")
    return Path(yaml.safe_load(files[profile].read_text())["data"])


def _lay_ground(data: Path) -> Ended:
    """Let DVC make the sweeps' inputs that are missing or out of date."""
    end = _call([*_dvc(), "repro", *GROUND], _output(data, "ground"))
    if end.status:
        said = _end_of(_output(data, "ground"))
        raise click.ClickException(f"the inputs of the sweeps could not be made:\n{said}")
    return end


def _commit(name: str) -> None:
    """Record the results in DVC, which did not run the sweep: it cannot pass `--workers` on."""
    stage = f"{STAGES}:{name}"
    commit = subprocess.run(
        [*_dvc(), "commit", "--force", stage], capture_output=True, text=True, check=False
    )
    if commit.returncode:
        click.echo(f"{stage} is not recorded; dvc commit said: {commit.stderr.strip()}", err=True)


def _dvc() -> list[str]:
    return [str(Path(sys.executable).with_name("dvc"))]


def _kedro(profile: str, pipelines: str) -> list[str]:
    return [sys.executable, "-m", "kedro", "run", "--env", profile, "--pipelines", pipelines]


def _call(command: list[str], output: Path) -> Ended:
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with output.open("w") as file:
        status = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False,
            env=os.environ | {"TQDM_DISABLE": "1"},
        ).returncode  # fmt: skip
    return Ended(status, time.monotonic() - started)


def _output(data: Path, name: str) -> Path:
    return data / "sweeps" / name / "output.txt"


def _end_of(file: Path) -> str:
    return "\n".join([*file.read_text(errors="replace").splitlines()[-12:], f"({file})"])


def _members(runs: pd.DataFrame, bad: pd.DataFrame) -> str:
    """Summary of a finished sweep: its members, runs and failures."""
    words = f"{runs['member'].nunique()} members, {len(runs)} runs, {len(bad)} failed"
    return "\n".join(
        [words, *(f"    {r.member} seed {r.seed}: {r.reason}" for r in bad.itertuples())]
    )


def _print_line(name: str, end: Ended, words: str = "") -> None:
    click.echo(f"{name:22} {_clock(end.seconds):>12}  {words if not end.status else 'FAILED'}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:2} s" if minutes else f"{rest} s"
