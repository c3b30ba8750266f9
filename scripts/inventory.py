"""What the project can do, from its own code, and how large it is.

python -m scripts.inventory [--root DIR] [--measures]

The same lines before and after a change mean that no feature was lost:
`diff <(python -m scripts.inventory --root OLD) <(python -m scripts.inventory)`.
"""

import argparse
import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.measures import print_measures

PROFILES = ("base", "smoke", "open", "bench", "paper")


def commands() -> Iterator[str]:
    """Every command with its arguments and options, and the choices of an option."""
    import click

    group = importlib.import_module("hand_pipeline.commands.main").main
    context = click.Context(group)
    for name in group.list_commands(context):
        yield name
        for parameter in group.get_command(context, name).params:
            named = "/".join([*parameter.opts, *parameter.secondary_opts])
            choices = getattr(parameter.type, "choices", ())
            yield f"{name} {named}" + (f" [{'|'.join(map(str, choices))}]" if choices else "")


def pipelines(root: Path) -> Iterator[str]:
    """Every pipeline, and the data sets that it leaves."""
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(root)
    found = importlib.import_module("hand_pipeline.pipeline_registry").register_pipelines()
    for name in sorted(found):
        yield name
        yield from (f"{name} -> {output}" for output in sorted(found[name].all_outputs()))


def methods() -> Iterator[str]:
    """The names that configurations and checkpoints call the methods by."""
    registry = importlib.import_module("hand_pipeline.methods")
    known = registry.METHODS if hasattr(registry, "METHODS") else registry.method_classes()
    yield from sorted(known)


def data_sets(source: Path) -> Iterator[str]:
    """The labelled data sets with their splits, and every function of `data` that reads a file."""
    folder = source / "hand_pipeline" / "data"
    (module,) = _defining(folder, "HAND_SETS", source)
    for name, known in sorted(importlib.import_module(module).HAND_SETS.items()):
        yield f"{name}: {', '.join(known.splits)}; tips {known.tips}"
    readers = {
        node.name
        for file in folder.rglob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("read_")
    }
    yield from sorted(readers)


def scorers(source: Path) -> Iterator[str]:
    """The benchmarks that are scored, and those that a leaderboard's file is written for."""
    for module in _defining(source / "hand_pipeline" / "evaluation", "BENCHMARKS", source):
        short = module.rpartition(".")[2]
        yield from (f"{short}: {name}" for name in importlib.import_module(module).BENCHMARKS)


def options(root: Path) -> Iterator[str]:
    """Every parameter that a profile sets, by its dotted path."""
    for profile in PROFILES:
        for file in sorted((root / "conf" / profile).glob("parameters*.yml")):
            paths = _leaves(yaml.safe_load(file.read_text()) or {})
            yield from (f"{profile} {path}" for path in sorted(set(paths)))


def artefacts(root: Path) -> Iterator[str]:
    """Every data set of the catalog."""
    for profile in PROFILES:
        file = root / "conf" / profile / "catalog.yml"
        if file.exists():
            named = (str(name) for name in yaml.safe_load(file.read_text()))
            yield from (f"{profile} {name}" for name in sorted(named) if name[0] != "_")


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    """Paths of what is neither a mapping nor a list of named mappings (members of a sweep)."""
    if isinstance(value, list) and all(isinstance(v, dict) and "name" in v for v in value):
        value = {each["name"]: each for each in value}
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else str(key))
    else:
        yield path


def _defining(folder: Path, name: str, source: Path) -> list[str]:
    """Modules below a folder that give a value to `name`."""
    found = []
    for file in sorted(folder.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                found.append(".".join(file.relative_to(source).with_suffix("").parts))
    return found


def print_inventory(root: Path) -> None:
    """Print every list under its heading."""
    source = root / "src"
    lists = {
        "commands": commands(),
        "pipelines": pipelines(root),
        "methods": methods(),
        "data sets": data_sets(source),
        "scorers": scorers(source),
        "artefacts": artefacts(root),
        "options": options(root),
    }
    for heading, lines in lists.items():
        print(f"# {heading}", *lines, sep="\n", end="\n\n")


def main() -> None:
    """Print the inventory or the measures of a tree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project's folder")
    parser.add_argument("--measures", action="store_true", help="sizes instead of features")
    given = parser.parse_args()
    root = given.root.resolve()
    if not (root / "src" / "hand_pipeline").is_dir():
        parser.error(f"{root} holds no src/hand_pipeline; give the project's folder by --root")
    if given.measures:
        print_measures(root)
        return
    sys.path.insert(0, str(root / "src"))
    print_inventory(root)


if __name__ == "__main__":
    main()
