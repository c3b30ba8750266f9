"""What a result stands on, as hashes: so that work is taken up again only where it still holds."""

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hand_pipeline.files import atomic_write_text, file_hash

RECORDS = ("tracking", "delivery", "spool", "provenance")
"""Parts of the package that only write down, or name, what the others do."""
NO_RESULT = (*RECORDS, "viz", "sweeps")
"""These, and what only draws, or starts, the others."""
_IN_PARTS = ("data", "methods", "pipelines")
"""Folders that count by their parts: a paper, a room of `data`, a pipeline. Others count whole."""


def run_key(**parts: Any) -> str:
    """Name a piece of work by everything that decides its result.

    Two runs share a key only if every part agrees (stage, configuration, data, starting weights,
    code), so what lies under the key can be resumed without ever being stale.

    Args:
        parts: anything JSON can hold; other objects go in as their text.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_folders(
    *modules: str, without: tuple[str, ...] = NO_RESULT, source: Path | None = None
) -> list[str]:
    """The code that modules stand on, by their imports: folders and files below `source`.

    The one answer to what has to be done again when code changes: for DVC's stages, running
    checkpoints and sweeps alike. A folder of the package counts whole; `methods`, `data` and
    `pipelines` count by their parts. A paper that is imported counts with all that it imports.

    Args:
        modules: dotted names of one package's modules; a package counts with all its files.
        without: parts of the package that are left out, with what they alone import.
        source: folder that holds the package; where it is imported from by default.

    Raises:
        ModuleNotFoundError: there is no such package, or no such module in it.
    """
    package = modules[0].partition(".")[0]
    source = source or _source_of(package)
    ignored = {f"{package}.{part}" for part in without}
    seen, found, waiting = set[str](), set[str](), [n for m in modules for n in _all(source, m)]
    while waiting:
        name = waiting.pop()
        file = _module_file(source, name)
        if name in seen or file is None or ".".join(name.split(".")[:2]) in ignored:
            continue
        seen.add(name)
        found.add(part := _part_of(file.relative_to(source)))
        waiting += [n for n in _imports(file, name) if n.startswith(f"{package}.")]
        if part.startswith(f"{package}/methods/") and not part.endswith(".py"):
            waiting += _all(source, part.replace("/", "."))
    return sorted(found)


@cache
def code_hash(*modules: str, source: Path | None = None) -> str:
    """Hash of all files of `code_folders`: a result holds while it is the same.

    Args:
        modules: the first says whose package it is; those of others, where a user's own method
            or data set may be, count by their one file.
        source: as for `code_folders`.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    package = modules[0].partition(".")[0]
    own = [m for m in modules if m.partition(".")[0] == package]
    others = {getattr(sys.modules.get(m), "__file__", None) for m in modules if m not in own}
    digest = hashlib.sha256()
    for file in sorted(Path(file) for file in others if file):
        digest.update(file.read_bytes())
    folders = code_folders(*own, source=source)
    source = source or _source_of(package)
    for path in (source / part for part in folders):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.parent.name != "__pycache__":
                digest.update(file.relative_to(source).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _source_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {package} to tell its version from")
    return Path(spec.origin).parent.parent


def _all(source: Path, module: str) -> Iterator[str]:
    """The module, or the package with all its modules."""
    file = _module_file(source, module)
    if file is None:
        raise ModuleNotFoundError(f"no module {module} in {source} to tell its version from")
    yield module
    if file.name == "__init__.py":
        for below in file.parent.rglob("*.py"):
            if below.name != "__init__.py":
                yield ".".join(below.relative_to(source).with_suffix("").parts)


def _part_of(file: Path) -> str:
    """What a file counts as a part of; its path begins with the package."""
    parts = file.parts
    return "/".join(parts[:3] if parts[1] in _IN_PARTS else parts[:2])


def _module_file(source: Path, name: str) -> Path | None:
    base = source / Path(*name.split("."))
    for file in (base / "__init__.py", base.with_suffix(".py")):
        if file.exists():
            return file
    return None


def _imports(file: Path, name: str) -> list[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return [f"{package}{n}" if n.startswith(".") else n for n in _imported_by(file.read_text())]


@cache
def _imported_by(text: str) -> list[str]:
    """Names that a source imports, anywhere in it; relative ones begin with a dot."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * bool(node.level) + (node.module or "")
            found += [origin, *(f"{origin.rstrip('.')}.{alias.name}" for alias in node.names)]
    return found


def content_hash(path: Path, memory: Path) -> str:
    """Hash of a file, or of all files below a folder, by their bytes and names.

    What was found is kept in the folder `memory`, under the files' names, sizes and times: a large
    data set is read once and only looked over after that.
    """
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    names = [f.relative_to(path).as_posix() for f in files]
    seen = [(n, (s := f.stat()).st_size, s.st_mtime_ns) for n, f in zip(names, files)]
    record = memory / f"{run_key(path=path, files=seen)}.txt"
    if not record.exists():
        digest = hashlib.sha256()
        for name, file in zip(names, files):
            digest.update(f"{name}\0{file_hash(file)}\n".encode())
        atomic_write_text(record, digest.hexdigest())
    return record.read_text()
