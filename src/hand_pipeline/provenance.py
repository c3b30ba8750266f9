"""What a result stands on, as hashes: so that work is taken up again only where it still holds."""

import hashlib
import json
from pathlib import Path
from typing import Any

RESULT_CODE = ("geometry", "data", "models", "losses", "training", "methods")
"""Parts of the package that can change a result."""


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
