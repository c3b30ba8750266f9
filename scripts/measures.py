"""How large the project is, and how far a reader has to go: counted from its source."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "hand_pipeline"
MOST_ARGUMENTS = 7
GENERATED = ("dvc.yaml", "sweeps/dvc.yaml")
QUESTIONS = {
    "HandMIM's loss": ("HandMIM", "methods"),
    "predict": ("predict", "commands"),
    "a sweep": ("sweep_pipeline", "sweeps"),
}
"""What a reader may ask, and the definition that reading starts from: its name and folder."""


class Place(NamedTuple):
    """A definition: its module and its name there."""

    module: str
    name: str


class Tree:
    """The package's source, by module."""

    def __init__(self, root: Path) -> None:
        self.source = root / "src"
        self.files = {self._module(file): file for file in self.source.rglob("*.py")}

    def _module(self, file: Path) -> str:
        parts = file.relative_to(self.source).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cache  # noqa: B019 - a tree lives as long as the program
    def parsed(self, module: str) -> ast.Module:
        """The module's syntax."""
        return ast.parse(self.files[module].read_text())

    def lines(self, module: str) -> int:
        """Of its file."""
        return self.files[module].read_text().count("\n")

    def imported(self, module: str, lazy: bool = True) -> dict[str, Place]:
        """What a module imports of the package, by the name it then has there.

        Args:
            module: dotted name.
            lazy: whether imports inside functions count, and those for types alone.
        """
        found = {}
        package = module if self.files[module].name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(self.parsed(module)) if lazy else _at_import(self.parsed(module)):
            if isinstance(node, ast.ImportFrom):
                above = package.split(".")[: package.count(".") + 2 - node.level]
                origin = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
                if origin.partition(".")[0] == PACKAGE:
                    for alias in node.names:
                        found[alias.asname or alias.name] = Place(origin, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] == PACKAGE:
                        found[alias.asname or alias.name] = Place(alias.name, "")
        return found

    def closure(self, module: str, lazy: bool) -> set[str]:
        """A module and all it imports, transitively, with the packages they lie in."""
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self.files:
                continue
            seen.add(name)
            waiting.append(name.rpartition(".")[0])
            for place in self.imported(name, lazy).values():
                waiting += [place.module, f"{place.module}.{place.name}"]
        return seen

    def reached(self, start: Place) -> set[str]:
        """Modules with a definition that `start` names, or that one of those names, and so on.

        A name that is built at run time, or an attribute of an object, is not followed.
        """
        seen: set[Place] = set()
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place in seen or place.module not in self.files:
                continue
            seen.add(place)
            here = _definitions(self.parsed(place.module))
            imports = self.imported(place.module)
            if place.name not in here:
                waiting += [imports[place.name]] if place.name in imports else []
                continue
            for node in ast.walk(here[place.name]):
                if isinstance(node, ast.Name):
                    waiting.append(imports.get(node.id, Place(place.module, node.id)))
        return {
            place.module for place in seen if place.name in _definitions(self.parsed(place.module))
        }


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when a module is imported: no bodies of functions, no types' imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _at_import(child)


def _definitions(module: ast.Module) -> dict[str, ast.stmt]:
    """What a module defines at its top: functions, classes and values by their names."""
    found: dict[str, ast.stmt] = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id: node for t in targets if isinstance(t, ast.Name)}
    return found


def folders(tree: Tree) -> Iterator[tuple[str, int, int]]:
    """Files and lines of each folder of the package; loose files together as `.`."""
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for module, file in tree.files.items():
        below = file.relative_to(tree.source / PACKAGE).parts
        folder = below[0] if len(below) > 1 else "."
        files[folder] += 1
        lines[folder] += tree.lines(module)
    for folder in sorted(files):
        yield folder, files[folder], lines[folder]


def argument_lists(tree: Tree) -> list[tuple[int, str]]:
    """How many arguments each function takes (`self` and `cls` aside), the longest lists first."""
    found = []
    for module in tree.files:
        for node in ast.walk(tree.parsed(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args
                named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                count = len(named) - (named[:1] in (["self"], ["cls"]))
                found.append((count, f"{module}.{node.name}"))
    return sorted(found, reverse=True)


def print_measures(root: Path) -> None:
    """Print the tables."""
    tree = Tree(root)
    print("folder                      files   lines")
    rows = list(folders(tree))
    whole = ("all", sum(files for _, files, _ in rows), sum(lines for *_, lines in rows))
    for folder, files, lines in [*rows, whole]:
        print(f"{folder:<26} {files:>6} {lines:>7}")
    arguments = argument_lists(tree)
    print(f"\nlongest argument list: {arguments[0][0]} ({arguments[0][1]})")
    long = sum(count > MOST_ARGUMENTS for count, _ in arguments)
    print(f"functions with more than {MOST_ARGUMENTS} arguments: {long}")
    generated = [root / name for name in GENERATED if (root / name).exists()]
    total = sum(file.read_text().count("\n") for file in generated)
    print(f"lines of generated YAML: {total}")
    print("\nimported                      at once          with imports in functions")
    print("                            files   lines   files   lines")
    for name in _entries(tree):
        sizes = [
            f"{len(found):>6} {sum(map(tree.lines, found)):>7}"
            for found in (tree.closure(name, lazy=False), tree.closure(name, lazy=True))
        ]
        short = name.removeprefix(f"{PACKAGE}.").removesuffix(".pipeline")
        print(f"{short:<26} {'  '.join(sizes)}")
    print("\nfiles to open for")
    for question, (name, folder) in QUESTIONS.items():
        print(f"{question:<26} {_files_to_open(tree, name, folder):>6}")


def _entries(tree: Tree) -> list[str]:
    """The module of `predict`, and that of each pipeline."""
    prefix = f"{PACKAGE}.pipelines."
    single = [m for m in tree.files if m.startswith(prefix) and m.count(".") == 2]
    modules = [f"{m}.pipeline" if f"{m}.pipeline" in tree.files else m for m in sorted(single)]
    return [f"{PACKAGE}.commands.predict", *modules]


def _files_to_open(tree: Tree, name: str, folder: str) -> int | str:
    starts = [
        Place(module, name)
        for module in tree.files
        if module.startswith(f"{PACKAGE}.{folder}.") and name in _definitions(tree.parsed(module))
    ]
    return len(set().union(*map(tree.reached, starts))) if starts else "not found"
