"""Hashes of what a result depends on, so that finished work is reused only while it is valid."""

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
"""Parts of the package that only record what the others do."""
NO_RESULT = (*RECORDS, "viz", "sweeps")
"""Parts whose code cannot change a result: records, figures, sweeps."""
_IN_PARTS = ("data", "methods", "pipelines")
"""Folders of which each entry (a paper, a room of `data`, a pipeline) counts separately."""


def run_key(**parts: Any) -> str:
    """Hash of everything that decides a result: 16 hex digits.

    Two runs share a key only if all parts are equal (stage, configuration, data, initial weights,
    code), so what is stored under the key is never stale.

    Args:
        parts: JSON values; other objects count by their `str`.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_folders(
    *modules: str, without: tuple[str, ...] = NO_RESULT, source: Path | None = None
) -> list[str]:
    """Folders and files below `source` that modules depend on through their imports.

    DVC's stages, running checkpoints and sweeps all use it to decide what a code change makes
    stale. A folder of the package counts whole; in `methods`, `data` and `pipelines` each entry
    counts separately. An imported paper brings everything it imports.

    Args:
        modules: dotted names of modules of one package; a package stands for all its files.
        without: parts of the package to leave out, with what only they import.
        source: folder that holds the package; default: where it is imported from.

    Raises:
        ModuleNotFoundError: the package or a module does not exist.
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
    """Hash of all files of `code_folders`: a result is valid while it is the same.

    Args:
        modules: the first decides the package; modules of other packages (a user's own method
            or data set) count by their single file.
        source: as for `code_folders`.

    Raises:
        ModuleNotFoundError: a module does not exist.
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
        raise ModuleNotFoundError(f"no source of {package} to hash")
    return Path(spec.origin).parent.parent


def _all(source: Path, module: str) -> Iterator[str]:
    """The module, or the package with all its modules."""
    file = _module_file(source, module)
    if file is None:
        raise ModuleNotFoundError(f"no module {module} in {source} to hash")
    yield module
    if file.name == "__init__.py":
        for below in file.parent.rglob("*.py"):
            if below.name != "__init__.py":
                yield ".".join(below.relative_to(source).with_suffix("").parts)


def _part_of(file: Path) -> str:
    """The folder or file that a file counts under; its path begins with the package."""
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
    """Names imported anywhere in a source text; relative ones begin with a dot."""
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

    The hash is cached in the folder `memory`, by the files' names, sizes and times, so that a
    large data set is read only once.
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
