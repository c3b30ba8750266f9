"""From photos to submissions: an all-knowing model's files equal the label files."""

import json
import logging

import numpy as np
import pytest
import torch
from tests.fixtures.reconstructor import FakeReconstructor
from tests.fixtures.scene import FixtureHands
from tests.fixtures.write import write_fixture

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.evaluation.leaderboard import (
    BENCHMARKS,
    LeaderboardConfig,
    evaluation_hands,
    export_benchmark,
    find_benchmark,
    predict_benchmark,
)
from hand_pipeline.evaluation.submission import (
    read_dexycb_results,
    read_keypoints_2d,
    read_submission,
)
from hand_pipeline.geometry.camera import project, unproject
from hand_pipeline.geometry.mano import TIP_VERTICES, ManoHand, mirror_points, with_tips

PARTIAL = LeaderboardConfig(batch_size=3, partial=True)
HO3D = ["ho3d_v2", "ho3d_v3"]


class Oracle(FakeReconstructor):
    """Knows the hands, in the order of the set; like any model, only right ones with one tip set.

    With `wrong_by` metres, it puts them elsewhere.
    """

    def __init__(self, hands: FixtureHands, wrong_by: float = 0.0) -> None:
        super().__init__(crop_scale=2.0)
        self.hands, self.wrong_by = hands, wrong_by
        self.inside: list[float] = []
        self.start = 0

    def predict(self, batch, generator=None, only_hands=False) -> HandHypotheses:
        rows = slice(self.start, self.start + len(batch))
        self.start += len(batch)
        vertices, joints = (
            torch.from_numpy(points[rows]) for points in (self.hands.vertices, self.hands.joints_3d)
        )
        left = torch.from_numpy(~self.hands.is_right[rows])[:, None, None]
        vertices = torch.where(left, mirror_points(vertices), vertices)
        joints = with_tips(torch.where(left, mirror_points(joints), joints), vertices, "mano")
        pixels = project(joints, batch.intrinsics)
        seen = ((pixels > 0) & (pixels < batch.images.shape[-1])).float().mean()
        self.inside.append(float(seen))
        shift = torch.tensor([0.0, 0.0, self.wrong_by])
        return prediction(batch, joints + shift, vertices + shift)


def prediction(batch: HandBatch, joints, vertices) -> HandHypotheses:
    count = len(batch)
    return HandHypotheses.single(
        batch.ids, batch.intrinsics, project(joints, batch.intrinsics), joints, vertices,
        torch.eye(3).repeat(count, 16, 1, 1), torch.zeros(count, 10),
    )  # fmt: skip


def labels(root, name: str) -> np.ndarray:
    return np.array(json.loads((root / f"evaluation_{name}.json").read_text()))


@pytest.mark.parametrize("name", ["freihand", *HO3D])
def test_a_pred_json_is_as_the_label_files(tmp_path, name):
    written = write_fixture(name, tmp_path / "data", "evaluation", 4)
    oracle = Oracle(written)
    (part,) = export_benchmark(name, oracle, tmp_path / "data", tmp_path / "out", PARTIAL)
    assert min(oracle.inside) > 0.99  # the crops show the hands
    assert (part.hands, part.complete) == (4, False)
    joints, vertices = read_submission(part.files[-1])
    np.testing.assert_allclose(joints, labels(tmp_path / "data", "xyz"), atol=2e-6)
    np.testing.assert_allclose(vertices, labels(tmp_path / "data", "verts"), atol=2e-6)


def test_freihand_is_predicted_without_labels(tmp_path):
    written = write_fixture("freihand", tmp_path, "evaluation", 3)
    expected = labels(tmp_path, "xyz")
    for label in ("xyz", "verts", "mano"):
        (tmp_path / f"evaluation_{label}.json").unlink()
    (part,) = export_benchmark("freihand", Oracle(written), tmp_path, tmp_path / "out", PARTIAL)
    np.testing.assert_allclose(read_submission(part.files[0])[0], expected, atol=2e-6)


def test_ho3ds_given_wrist_is_used_only_when_asked_for(tmp_path):
    written = write_fixture("ho3d_v3", tmp_path, "evaluation", 3)
    expected = labels(tmp_path, "xyz")
    for label in ("xyz", "verts"):  # only the frames' own meta files are left
        (tmp_path / f"evaluation_{label}.json").unlink()
    for known, error in ((False, 0.1), (True, 0.0)):
        cfg = PARTIAL.model_copy(update={"known_wrist": known})
        model = Oracle(written, wrong_by=0.1)
        (part,) = export_benchmark("ho3d_v3", model, tmp_path, tmp_path / "out", cfg)
        joints, _ = read_submission(part.files[0])
        found = np.linalg.norm(joints - expected, axis=-1)
        np.testing.assert_allclose(found, error, atol=1e-5)


@pytest.fixture(scope="module")
def dexycb(tmp_path_factory):
    root = tmp_path_factory.mktemp("dexycb")
    return root, write_fixture("dexycb", root, "s0_test", 4)


def test_dexycbs_lines_are_millimetres_under_the_toolkits_index(dexycb, tmp_path):
    root, written = dexycb
    assert {True, False} == set(written.is_right.tolist())
    (part,) = export_benchmark("dexycb", Oracle(written), root, tmp_path, PARTIAL)
    found = read_hands("dexycb", root, "s0_test", ManoHand(tips="dexycb"))
    indices, joints = read_dexycb_results(part.files[0])
    np.testing.assert_array_equal(indices, found.flags["index"])
    assert indices.tolist() != list(range(len(indices)))  # frames without a hand count
    np.testing.assert_allclose(joints, written.joints_3d * 1000, atol=2e-3)


class FlatOracle(Oracle):
    """Knows only the 2D joints, in the crops' pixels, and puts them a metre away."""

    def predict(self, batch, generator=None, only_hands=False) -> HandHypotheses:
        truth = {name: row for row, name in enumerate(self.images.ids)}
        labels = self.images.labels(np.array([truth[name] for name in batch.ids]), None)
        joints = unproject(labels.joints_2d, torch.ones(len(batch), 21), batch.intrinsics)
        vertices = torch.zeros(len(batch), 778, 3) + torch.tensor([0.0, 0.0, 1.0])
        vertices[:, list(TIP_VERTICES["mano"])] = joints[:, 4::4]
        return prediction(batch, joints, vertices)


def test_hints_joints_are_pixels_of_the_photo_on_either_side(tmp_path):
    parts = BENCHMARKS["hint"].splits
    truth = {
        split: write_fixture("hint", tmp_path / "data", split, 4, seed)
        for seed, split in enumerate(parts)
    }
    for split in parts:
        written = truth[split]
        model = FlatOracle(written)
        model.images = evaluation_hands(BENCHMARKS["hint"], model, tmp_path / "data", split)
        cfg = PARTIAL.model_copy(update={"splits": (split,)})
        (part,) = export_benchmark("hint", model, tmp_path / "data", tmp_path / "out", cfg)
        assert part.files == (tmp_path / "out" / f"{split}.json",)
        found = read_keypoints_2d(part.files[0])
        seen = model.images.manifest.has_joints_2d
        assert seen.mean() > 0.9
        np.testing.assert_allclose(found[seen], written.joints_2d[seen], atol=2e-3)
        assert not model.images.manifest.is_right.all()


def test_parts_of_hint_that_are_not_there_need_leave_to_be_left_out(tmp_path, caplog):
    written = write_fixture("hint", tmp_path, "TEST_epick_img", 2)
    model = Oracle(written)
    with pytest.raises(DataSetError, match="no folder TEST_newdays_img"):
        export_benchmark("hint", model, tmp_path, tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        exported = export_benchmark("hint", model, tmp_path, tmp_path / "out", PARTIAL)
    assert [part.split for part in exported] == ["TEST_epick_img"]
    assert "TEST_newdays_img is left out" in caplog.text
    assert "1906 hands, here are 2: a PARTIAL file" in caplog.text


def test_fewer_hands_than_published_are_refused_and_nothing_is_written(tmp_path):
    written = write_fixture("freihand", tmp_path / "data", "evaluation", 2)
    with pytest.raises(DataSetError, match="published with 3960 hands, here are 2"):
        export_benchmark("freihand", Oracle(written), tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prediction_that_is_not_finite_leaves_no_file(tmp_path):
    written = write_fixture("freihand", tmp_path / "data", "evaluation", 2)
    model = Oracle(written, wrong_by=float("nan"))
    with pytest.raises(ValueError, match=r"joints of hands \[0, 1\] are not finite"):
        export_benchmark("freihand", model, tmp_path / "data", tmp_path / "out", PARTIAL)
    assert list((tmp_path / "out").iterdir()) == []


def test_hands_come_in_the_sets_order_whatever_the_batch(tmp_path):
    written = write_fixture("freihand", tmp_path, "evaluation", 5)
    for size in (1, 2, 8):
        model = Oracle(written)
        images = evaluation_hands(BENCHMARKS["freihand"], model, tmp_path, "evaluation")
        cfg = LeaderboardConfig(batch_size=size)
        placed = list(predict_benchmark(model, images, BENCHMARKS["freihand"], cfg))
        rows = np.concatenate([batch.rows for batch in placed])
        assert rows.tolist() == [0, 1, 2, 3, 4]
        vertices = np.concatenate([batch.vertices for batch in placed])
        np.testing.assert_array_equal(vertices, written.vertices)


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ValueError, match="unknown benchmark 'coco'; known: freihand"):
        find_benchmark("coco")
