"""The submission file: form, rounding, size checks."""

import json
import zipfile

import numpy as np
import pytest

from hand_pipeline.evaluation.submission import read_submission
from hand_pipeline.evaluation.submission_files import write_submission


@pytest.fixture
def hands() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 21, 3)), rng.normal(size=(3, 778, 3))


def test_the_file_is_freihands_pair_of_lists(tmp_path, hands):
    joints, vertices = hands
    written = write_submission(tmp_path, joints, vertices, expected=3)
    xyz_list, verts_list = json.loads(written.json_path.read_text())
    np.testing.assert_allclose(xyz_list, joints, atol=5.1e-7)
    np.testing.assert_allclose(verts_list, vertices, atol=5.1e-7)


def test_the_zip_holds_the_json_at_its_root(tmp_path, hands):
    written = write_submission(tmp_path, *hands)
    with zipfile.ZipFile(written.zip_path) as archive:
        assert archive.namelist() == ["pred.json"]
        assert archive.read("pred.json") == written.json_path.read_bytes()


@pytest.mark.parametrize("name", ["json_path", "zip_path"])
def test_a_submission_reads_back(tmp_path, hands, name):
    written = write_submission(tmp_path, *hands)
    joints, vertices = read_submission(getattr(written, name))
    np.testing.assert_allclose(joints, hands[0], atol=5.1e-7)
    np.testing.assert_allclose(vertices, hands[1], atol=5.1e-7)


def test_the_same_hands_give_the_same_bytes(tmp_path, hands):
    first = write_submission(tmp_path / "a", *hands)
    second = write_submission(tmp_path / "b", *hands)
    assert first.zip_path.read_bytes() == second.zip_path.read_bytes()


def test_numbers_keep_six_decimals(tmp_path, hands):
    joints, vertices = hands
    joints[0, 0] = [0.12345678, -1e-9, 1.0]
    written = write_submission(tmp_path, joints, vertices)
    assert json.loads(written.json_path.read_text())[0][0][0] == [0.123457, 0.0, 1.0]


def test_another_number_of_hands_is_refused_and_nothing_is_written(tmp_path, hands):
    with pytest.raises(ValueError, match="expected 3960 hands, got 3"):
        write_submission(tmp_path, *hands, expected=3960)
    assert list(tmp_path.iterdir()) == []


def test_a_nan_is_refused(tmp_path, hands):
    hands[1][2, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"vertices of hands \[2\]"):
        write_submission(tmp_path, *hands)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / "pred.json"
    path.write_text("[[1, 2]]")
    with pytest.raises(ValueError, match="xyz_list"):
        read_submission(path)
