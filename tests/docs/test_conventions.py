"""docs/conventions.md says what the code does: its names exist and its tables are the code's."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.geometry.joints import ORDERS, permutation
from hand_pipeline.geometry.mano import TIP_VERTICES

TEXT = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()
GEOMETRY = "affine2d|camera|joints|mano|procrustes|rasterizer|rotation|topology"


def table_after(comment: str) -> list[list[str]]:
    """Cells of the table below an HTML comment, without its head."""
    lines = TEXT.partition(comment)[2].splitlines()[1:]
    rows = [line.strip("| ").split("|") for line in lines[: lines.index("")]]
    return [[cell.strip(" `") for cell in row] for row in rows[2:]]


def names() -> list[str]:
    in_geometry = re.findall(rf"`((?:{GEOMETRY})\.\w+)", TEXT)
    elsewhere = re.findall(r"`(evaluation\.\w+\.\w+)", TEXT)
    return sorted({f"geometry.{name}" for name in in_geometry} | set(elsewhere))


def test_functions_are_named_at_all():
    assert len(names()) > 25


@pytest.mark.parametrize("name", names())
def test_every_function_named_exists(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(f"hand_pipeline.{module}"), attribute)


def test_permutations_are_the_codes():
    rows = table_after("<!-- checked against joints.permutation")
    assert len(rows) == 6
    for source, target, numbers in rows:
        assert tuple(map(int, numbers.split())) == permutation(source, target)


def test_orders_without_a_permutation_are_openposes():
    spelled_out = {row[0] for row in table_after("<!-- checked against joints.permutation")}
    same_as_mano = {"ho3d", "h2o3d"}
    for name in ORDERS.keys() - spelled_out - same_as_mano:
        assert permutation(name, "openpose") == tuple(range(21))
    for name in same_as_mano:
        assert ORDERS[name] == ORDERS["mano"]


def test_tip_vertices_are_the_codes():
    rows = table_after("<!-- checked against mano.TIP_VERTICES")
    assert {row[0] for row in rows} | {"dexycb_left", "h2o3d"} == TIP_VERTICES.keys()
    for name, vertices, _ in rows:
        assert tuple(map(int, vertices.split())) == TIP_VERTICES[name]


def test_metric_columns_exist():
    generator = np.random.default_rng(0)
    joints = generator.normal(size=(2, 2, 21, 3)).astype(np.float32)
    vertices = generator.normal(size=(2, 2, 778, 3)).astype(np.float32)
    columns = evaluate_hands(joints[0], vertices[0], joints[1], vertices[1]).summary
    named = set(re.findall(r"`((?:\w+_mm|auc_\w+|f\d+\w*))`", TEXT))
    assert len(named) > 10
    assert named <= columns.keys()
