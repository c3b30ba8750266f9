"""Every benchmark's scorer against plain_scores.py, on files of every awkward kind."""

import importlib.util
import math
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "compare_scores", Path(__file__).parents[2] / "scripts" / "compare_scores.py"
)
compare_scores = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(compare_scores)

# HO-3D's two versions go the same way; scripts/compare_scores.py shows both
BENCHMARKS = [name for name in compare_scores.COMPARISONS if name != "ho3d_v2"]
KINDS = [kind for kind, _ in compare_scores.awkward(compare_scores.make_hands(1, "mano"))]


@pytest.fixture(scope="module")
def inputs():
    tips = {tips for _, tips in compare_scores.COMPARISONS.values()}
    return {t: dict(compare_scores.awkward(compare_scores.make_hands(3, t))) for t in tips}


@pytest.mark.parametrize("reflection", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_scores_equal_the_plain_formulas(inputs, benchmark, kind, reflection, tmp_path):
    compare, tips = compare_scores.COMPARISONS[benchmark]
    found = compare(benchmark, inputs[tips][kind], tmp_path, reflection)
    assert found <= compare_scores.LIMIT


def test_a_missing_key_and_a_finite_number_for_nan_count_as_a_difference():
    assert compare_scores.difference({}, {"a": 1.0}) == math.inf
    assert compare_scores.difference({"a": float("nan")}, {"a": 1.0}) == math.inf
    assert compare_scores.difference({"a": float("nan")}, {"a": float("nan")}) == 0
    assert compare_scores.difference({"a": 1.5}, {"a": 1.0}) == 0.5


def test_plain_formulas_give_what_is_known_of_the_official_programs(inputs):
    """Figures that follow from the definition alone: an exact copy, a mirrored and a lost hand."""
    plain = compare_scores.plain()
    hands = inputs["freihand"]["exact copy"]
    parts = [hands[name] for name in ("true_xyz", "true_verts", "xyz", "verts")]
    copy = plain.procrustes_hands(*parts)
    assert copy["xyz_auc3d"] == copy["mesh_auc3d"] == 1
    assert copy["xyz_al_auc3d"] == pytest.approx(1 - 0.5 / 99, abs=1e-12)
    assert copy["f_score_5"] == copy["f_al_score_15"] == 1
    mirrored = plain.procrustes_hands(*parts[:2], *(p * [-1, 1, 1] for p in parts[2:]))
    assert mirrored["xyz_al_mean3d"] == pytest.approx(0, abs=1e-6)
    strict = plain.procrustes_hands(
        *parts[:2], *(p * [-1, 1, 1] for p in parts[2:]), reflection=False
    )
    assert strict["xyz_al_mean3d"] > 0.5
