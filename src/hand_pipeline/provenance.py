"""What a result stands on, as hashes: so that work is taken up again only where it still holds."""

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from hand_pipeline.files import atomic_write_text, file_hash

RESULT_CODE = ("geometry", "data", "models", "losses", "training", "methods")
"""Parts of the package that can change a result."""

NO_RESULT = ("tracking", "delivery", "spool", "viz", "sweeps")
"""Parts that only record, draw or start what the others do."""


def run_key(**parts: Any) -> str:
    """Name a piece of work by everything that decides its result.

    Two runs share a key only if every part agrees (stage, configuration, data, starting weights,
    code), so what lies under the key can be resumed without ever being stale.

    Args:
        parts: anything JSON can hold; other objects go in as their text.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_version() -> str:
    """Hash of the package's source that can change a result."""
    package = Path(__file__).parent
    files = [file for part in RESULT_CODE for file in package.glob(f"{part}/**/*.py")]
    digest = hashlib.sha256()
    for file in sorted([*files, package / "config.py", package / "files.py"]):
        digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


@cache
def code_hash(module: str) -> str:
    """Hash of a module and of all it imports of its package, but for what only draws or records.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    package, _, below = module.partition(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {module} to tell its version from")
    source = Path(spec.origin).parent.parent if below else Path(spec.origin).parent
    ignored = frozenset(f"{package}.{part}" for part in NO_RESULT)
    digest = hashlib.sha256()
    for file in imported_files(source, module, ignored):
        digest.update(file.relative_to(source).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def imported_files(source: Path, module: str, ignored: frozenset[str] = frozenset()) -> list[Path]:
    """Files of the package that `module` imports, transitively, itself among them.

    Args:
        source: folder that holds the package.
        module: its dotted name.
        ignored: modules and packages that are left out, with what they alone import.
    """
    package, seen, waiting = module.partition(".")[0], dict[str, Path](), [module]
    while waiting:
        name = waiting.pop()
        file = _module_file(source, name)
        left_out = any(name == part or name.startswith(f"{part}.") for part in ignored)
        if name in seen or left_out or file is None:
            continue
        seen[name] = file
        waiting += [n for n in _imports(file, name) if n.startswith(f"{package}.")]
    return sorted(set(seen.values()))


def _module_file(source: Path, name: str) -> Path | None:
    base = source / Path(*name.split("."))
    for file in (base / "__init__.py", base.with_suffix(".py")):
        if file.exists():
            return file
    return None


def _imports(file: Path, name: str) -> list[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = f"{package}.{node.module}" if node.level else (node.module or "")
            found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
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
