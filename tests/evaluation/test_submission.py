"""Submission files: form, rounding, size checks, and that they are read back before they count."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.evaluation.submission import (
    read_dexycb_results,
    read_keypoints_2d,
    read_submission,
)
from hand_pipeline.evaluation.submission_files import (
    PredJson,
    Submission,
    dexycb_results,
    keypoints_2d,
    pred_json,
    submission_paths,
)


@pytest.fixture
def hands() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 21, 3)), rng.normal(size=(3, 778, 3))


def write(
    directory: Path, joints: np.ndarray, vertices: np.ndarray, expected: int | None = None
) -> Submission:
    with pred_json(directory, expected) as writer:
        writer.add(joints, vertices)
    return submission_paths(directory)


def test_the_file_is_freihands_pair_of_lists(tmp_path, hands):
    joints, vertices = hands
    written = write(tmp_path, joints, vertices, expected=3)
    xyz_list, verts_list = json.loads(written.json_path.read_text())
    np.testing.assert_allclose(xyz_list, joints, atol=5.1e-9)
    np.testing.assert_allclose(verts_list, vertices, atol=5.1e-9)


def test_the_zip_holds_the_json_at_its_root(tmp_path, hands):
    written = write(tmp_path, *hands)
    with zipfile.ZipFile(written.zip_path) as archive:
        assert archive.namelist() == ["pred.json"]
        assert archive.read("pred.json") == written.json_path.read_bytes()


@pytest.mark.parametrize("name", ["json_path", "zip_path"])
def test_a_submission_reads_back(tmp_path, hands, name):
    written = write(tmp_path, *hands)
    joints, vertices = read_submission(getattr(written, name))
    np.testing.assert_allclose(joints, hands[0], atol=5.1e-9)
    np.testing.assert_allclose(vertices, hands[1], atol=5.1e-9)


def test_the_same_hands_give_the_same_bytes(tmp_path, hands):
    first = write(tmp_path / "a", *hands)
    second = write(tmp_path / "b", *hands)
    assert first.zip_path.read_bytes() == second.zip_path.read_bytes()


def test_numbers_keep_eight_decimals(tmp_path, hands):
    joints, vertices = hands
    joints[0, 0] = [0.1234567891, -1e-11, 1.0]
    written = write(tmp_path, joints, vertices)
    assert json.loads(written.json_path.read_text())[0][0][0] == [0.12345679, 0.0, 1.0]


def test_another_number_of_hands_is_refused_and_nothing_is_written(tmp_path, hands):
    with pytest.raises(ValueError, match="expected 3960 hands, got 3"):
        write(tmp_path, *hands, expected=3960)
    assert list(tmp_path.iterdir()) == []


def test_a_nan_is_refused(tmp_path, hands):
    hands[1][2, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"vertices of hands \[2\]"):
        write(tmp_path, *hands)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / "pred.json"
    path.write_text("[[1, 2]]")
    with pytest.raises(ValueError, match="xyz_list"):
        read_submission(path)


def test_hands_in_batches_give_the_same_file_as_all_at_once(tmp_path, hands):
    whole = write(tmp_path / "whole", *hands)
    with pred_json(tmp_path / "batches", expected=3) as writer:
        writer.add(hands[0][:2], hands[1][:2])
        writer.add(hands[0][2:], hands[1][2:])
    assert (tmp_path / "batches/pred.json").read_bytes() == whole.json_path.read_bytes()


def test_memory_does_not_grow_with_the_hands(tmp_path):
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(2, 21, 3)), rng.normal(size=(2, 778, 3))
    peaks = []
    for batches in (10, 30):  # twenty more would be 1 MB of text, 0.8 MB of numbers
        tracemalloc.start()
        with pred_json(tmp_path / f"{batches}") as writer:
            for _ in range(batches):
                writer.add(*batch)
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_an_error_midway_leaves_nothing(tmp_path, hands):
    def interrupted():
        with pred_json(tmp_path) as writer:
            writer.add(*hands)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_former_file_stays_when_the_new_one_fails(tmp_path, hands):
    before = write(tmp_path, *hands).zip_path.read_bytes()
    with pytest.raises(ValueError, match="expected 4 hands, got 3"):
        write(tmp_path, *hands, expected=4)
    assert (tmp_path / "pred.zip").read_bytes() == before


def test_meshes_of_two_sizes_are_refused(tmp_path, hands):
    with pred_json(tmp_path) as writer:
        writer.add(*hands)
        with pytest.raises(ValueError, match=r"vertices of hand 3 have shape \(700, 3\)"):
            writer.add(hands[0], hands[1][:, :700])
    joints, vertices = read_submission(tmp_path / "pred.json")  # what was refused left no trace
    assert (len(joints), len(vertices)) == (3, 3)


def test_a_copy_that_differs_is_noticed(tmp_path, hands):
    with (tmp_path / "spool").open("wb+") as spool, (tmp_path / "text").open("wb+") as text:
        writer = PredJson(text, spool, None)
        writer.add(*hands)
        writer.finish()
        text.seek(0)
        content = text.read()
    writer.check(io.BytesIO(content), tmp_path)
    with pytest.raises(OSError, match=r"joints .* do not read back"):
        writer.check(io.BytesIO(content.replace(b"0.", b"1.", 1)), tmp_path)
    last_vertex = content.rindex(b"0.")
    altered = content[:last_vertex] + b"1." + content[last_vertex + 2 :]
    with pytest.raises(OSError, match=r"vertices .* do not read back"):
        writer.check(io.BytesIO(altered), tmp_path)


def test_a_zip_of_a_folder_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "pred.zip", "w") as archive:
        archive.writestr("folder/pred.json", "[[],[]]")
    with pytest.raises(ValueError, match="zip -j"):
        read_submission(tmp_path / "pred.zip")


def test_lists_of_two_lengths_are_refused(tmp_path, hands):
    (tmp_path / "pred.json").write_text(json.dumps([hands[0].tolist(), hands[1][:2].tolist()]))
    with pytest.raises(ValueError, match="one length each, got 3 and 2"):
        read_submission(tmp_path / "pred.json")


def test_a_mesh_of_another_model_can_be_read(tmp_path, hands):
    written = write(tmp_path, hands[0], hands[1][:, :50])
    assert read_submission(written.zip_path)[1].shape == (3, 50, 3)


def test_dexycbs_file_is_lines_of_64_numbers_in_millimetres(tmp_path, hands):
    path = tmp_path / "s0_test.txt"
    with dexycb_results(path, expected=3) as writer:
        writer.add(np.array([7, 8, 471_000]), hands[0])
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert [len(line) for line in lines] == [64] * 3
    assert [line[0] for line in lines] == ["7", "8", "471000"]
    np.testing.assert_allclose(float(lines[1][4]), hands[0][1, 1, 0] * 1000, atol=5.1e-6)
    indices, joints = read_dexycb_results(path)
    assert indices.tolist() == [7, 8, 471_000]
    np.testing.assert_allclose(joints, hands[0] * 1000, atol=5.1e-6, rtol=0)


def test_dexycb_hands_without_a_known_index_are_refused(tmp_path, hands):
    with (
        pytest.raises(ValueError, match="places in DexYCB's list are not known"),
        dexycb_results(tmp_path / "a.txt") as writer,
    ):
        writer.add(np.full(3, -1), hands[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "64 numbers in each line"),
        (",".join(["1"] * 64) + "\n1,2\n", "64 numbers in each line"),
        (",".join(["1.5", *["1"] * 63]) + "\n", "line 1 begins with 1.5"),
        (",".join(["1", "x", *["1"] * 62]) + "\n", "64 numbers in each line"),
    ],
)
def test_other_lines_are_no_dexycb_results(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dexycb_results(tmp_path / "a.txt")


def test_2d_joints_are_a_plain_list(tmp_path):
    points = np.random.default_rng(0).uniform(0, 1000, (3, 21, 2))
    with keypoints_2d(tmp_path / "p.json", expected=3) as writer:
        writer.add(points[:1])
        writer.add(points[1:])
    np.testing.assert_allclose(
        json.loads((tmp_path / "p.json").read_text()), points, atol=5.1e-5, rtol=0
    )
    np.testing.assert_allclose(read_keypoints_2d(tmp_path / "p.json"), points, atol=5.1e-5)
