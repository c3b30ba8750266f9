"""What `pip install .` alone can do, and that nothing in it forbids a use."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PERMISSIVE = (
    "apache", "bsd", "mit", "python software foundation", "psf", "isc", "mozilla public license",
    "mpl-2.0", "historical permission", "hpnd", "zlib", "unlicense", "0bsd", "cnri-python",
)  # fmt: skip
KNOWN = {
    # no field of their metadata names it; read in the package itself
    "pi-heif": "BSD-3-Clause; it brings libheif and libde265, LGPL-3.0",
}
"""Licences that metadata does not tell."""
OPTIONAL = (
    "kedro", "kedro_datasets", "mlflow", "dvc", "optuna", "lightning_fabric", "pandas", "pyarrow",
    "imagehash", "jinja2", "smplx", "transformers",
)  # fmt: skip
"""Modules that only extras bring."""
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL}))\n"
"""None in its place lets Python take a module for one that is not there."""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_shipped_method_reconstructs_without_the_pipelines() -> None:
    result = run(
        "from hand_pipeline import HandReconstructor\n"
        "import hand_pipeline.commands.predict\n"
        "import hand_pipeline.methods.pymaf.pymaf, hand_pipeline.methods.lifter\n"
        "import hand_pipeline.methods.maskhand.maskhand, hand_pipeline.methods.s2hand.s2hand\n"
        "print('fine')"
    )
    assert result.stdout.strip() == "fine", result.stderr


@pytest.mark.slow
def test_a_command_of_the_pipelines_says_what_to_install() -> None:
    result = run("from hand_pipeline.commands.main import main\nmain(['dvcgen', '--check'])")
    assert result.returncode == 1
    assert "pip install 'hand-pipeline[pipeline]'" in result.stderr


def closure(names: list[str]) -> set[str]:
    """Distributions that come with some requirements, on this machine."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        requirement = Requirement(waiting.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        name = requirement.name.lower().replace("_", "-")
        if wanted and name not in found:
            found.add(name)
            waiting += metadata.requires(name) or []
    return found


def licence_of(name: str) -> str:
    if name in KNOWN:
        return KNOWN[name]
    about = metadata.metadata(name)
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    return "; ".join([
        about.get("License-Expression") or "", *classifiers, (about.get("License") or "")[:300]
    ])  # fmt: skip


CORE = sorted(closure(PROJECT["dependencies"]))


def test_the_core_is_what_it_was_thought_to_be() -> None:
    assert {"torch", "mediapipe", "pillow"} <= set(CORE)
    assert not {"kedro", "mlflow", "dvc", "optuna", "pandas", "smplx"} & set(CORE)


@pytest.mark.parametrize("name", CORE)
def test_the_licence_of_a_core_dependency_is_known_and_allows_any_use(name: str) -> None:
    licence = licence_of(name).lower()
    assert any(each in licence for each in PERMISSIVE), f"{name}: {licence or 'no licence'}"
    assert name in re.findall(r"[\w-]+", (ROOT / "NOTICE").read_text()), "NOTICE does not list it"
    assert not any(word in licence for word in ("non-commercial", "noncommercial", "research only"))
