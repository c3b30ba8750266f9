import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from tests.fixtures.reconstructor import FakeReconstructor

from hand_pipeline.data.batch import HandHypotheses
from hand_pipeline.data.photos.cameras import PhotoCamera
from hand_pipeline.data.photos.cropping import CropConfig
from hand_pipeline.data.photos.detector import Detection, DetectorConfig
from hand_pipeline.evaluation.hand_files import photo_json, write_meshes
from hand_pipeline.evaluation.reconstruct import PhotoReconstructor
from hand_pipeline.geometry.camera import default_intrinsics, project, unproject
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.mediapipe import MediaPipe, MediaPipeConfig

CAMERA = default_intrinsics(640, 480)


class FakeDetector:
    cfg = DetectorConfig()

    def __init__(self, hands):
        self.hands = hands

    def __call__(self, photo):
        return self.hands


class OneDepth(FakeReconstructor):
    """Puts a fixed pose where the crop's centre is seen, at 0.5 m; notes what it was shown."""

    def predict(self, batch, generator=None):
        self.images, self.intrinsics, self.ids = batch.images, batch.intrinsics, batch.ids
        count = len(batch)
        fixed = torch.Generator().manual_seed(3)
        pose = axis_angle_to_matrix(0.3 * torch.randn(1, 16, 3, generator=fixed))
        pose = pose.expand(count, 16, 3, 3)
        betas = torch.randn(1, 10, generator=fixed).expand(count, 10)
        middle = torch.full((count, 1, 2), self.images.shape[-1] / 2)
        place = unproject(middle, torch.full((count, 1), 0.5), self.intrinsics)[:, 0]
        mesh = self.mano(pose, betas, place)
        return HandHypotheses.single(
            batch.ids, self.intrinsics, project(mesh.joints, self.intrinsics), mesh.joints,
            mesh.vertices, pose, betas,
        )  # fmt: skip


class SeveralHands(OneDepth):
    """Draws a pose for each hypothesis; the surest bends its fingers least."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling = SamplingConfig()

    def predict(self, batch, generator=None):
        one = super().predict(batch)
        self.keypoints = batch.keypoints
        count, several = len(batch), self.sampling.hypotheses
        turns = torch.rand(1, several, 16, 3, generator=generator).expand(count, -1, -1, -1)
        order = turns.sum((-2, -1)).argsort(1)
        turns = turns.gather(1, order[..., None, None].expand_as(turns))
        pose = axis_angle_to_matrix(turns)
        betas = one.betas.repeat_interleave(several, 0)
        place = one.joints_3d[:, 0, 0] - self.mano.rest_joints(one.betas)[:, 0]
        mesh = self.mano(pose.flatten(0, 1), betas, place.repeat_interleave(several, 0))
        joints, vertices = (v.unflatten(0, (count, several)) for v in (mesh.joints, mesh.vertices))
        joints_2d = project(mesh.joints, batch.intrinsics.repeat_interleave(several, 0))
        sure = torch.linspace(0.9, 0.1, several).expand(count, several)
        return HandHypotheses(
            batch.ids, batch.intrinsics, joints_2d.unflatten(0, (count, several)), joints, vertices,
            pose, one.betas, sure, sure[..., None] * torch.linspace(1, 0.5, 21),
        )  # fmt: skip


class Coloured(OneDepth):
    """Every vertex has the colour of its crop's mean."""

    def predict(self, batch, generator=None):
        mean = batch.images.float().mean((2, 3)) / 255
        return replace(super().predict(batch), colours=mean[:, None].expand(-1, 778, -1))


def found(side, centre, size=80.0, score=0.9):
    flat = np.random.default_rng(0).uniform(-size / 2, size / 2, (21, 2)) + centre
    flat[:2] = [[centre[0] - size / 2, centre[1] - size / 2], [centre[0] + size / 2] * 2]
    flat[1] = [centre[0] + size / 2, centre[1] + size / 2]
    box = np.concatenate([flat.min(0), flat.max(0)])
    return Detection(box, flat, np.zeros((21, 3)), side, score, 1)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def reconstruct(photo, *hands):
    model = OneDepth()
    ranked = PhotoReconstructor(FakeDetector(list(hands)), model, CropConfig())(photo, CAMERA)
    assert all(len(row) == 1 for row in ranked)  # the model gives one hand
    return [row[0] for row in ranked], model


def test_a_right_hand_stands_where_its_crop_was(photo):
    [hand], model = reconstruct(photo, found("right", (150, 300)))
    # the model's origin was put at the crop's centre
    np.testing.assert_allclose(project(hand.translation[None], CAMERA)[0], [150, 300], atol=1)
    assert hand.translation[2] == pytest.approx(0.5, abs=1e-5)
    seen = project(hand.joints_3d, model.intrinsics[0])
    matrix = model.intrinsics[0] @ torch.linalg.inv(CAMERA)
    mapped = torch.cat([hand.joints_2d, torch.ones(21, 1)], 1) @ matrix.T
    torch.testing.assert_close(mapped[:, :2], seen, atol=1e-2, rtol=0)


def test_a_left_hand_in_the_mirrored_photo_is_the_mirror_image_of_the_right_one(photo):
    [right], right_model = reconstruct(photo, found("right", (150, 300)))
    mirrored_photo = np.ascontiguousarray(photo[:, ::-1])
    [left], left_model = reconstruct(mirrored_photo, found("left", (490, 300)))
    difference = left_model.images.int() - right_model.images.int()
    assert difference.abs().max() <= 2  # rounding of a resize is not symmetric
    torch.testing.assert_close(left_model.intrinsics, right_model.intrinsics, atol=1e-3, rtol=1e-5)
    assert (left_model.intrinsics[:, 0, 0] > 0).all()
    flip = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(left.vertices, right.vertices * flip, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(left.joints_3d, right.joints_3d * flip, atol=1e-6, rtol=1e-5)
    flipped_pixels = right.joints_2d * torch.tensor([-1.0, 1]) + torch.tensor([640.0, 0])
    torch.testing.assert_close(left.joints_2d, flipped_pixels, atol=1e-2, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_parameters_rebuild_the_mesh_with_the_hand_model_of_that_side(photo, side):
    [hand], _ = reconstruct(photo, found(side, (400, 200)))
    mano = ManoHand(side=side)
    mesh = mano(hand.mano_pose[None], hand.betas[None], hand.translation[None])
    torch.testing.assert_close(mesh.vertices[0], hand.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(mesh.joints[0], hand.joints_3d, atol=1e-5, rtol=0)
    assert torch.equal(mano.faces, hand.faces)


def test_two_hands_go_through_the_model_at_once_and_finds_of_one_hand_only_once(photo):
    right, left = found("right", (150, 300)), found("left", (450, 300))
    again = found("left", (152, 301), score=0.6)
    hands, model = reconstruct(photo, right, left, again)
    assert [hand.detection.handedness for hand in hands] == ["right", "left"]
    assert model.ids == ("photo-0", "photo-1")
    assert hands[0].joints_2d.mean(0)[0] < hands[1].joints_2d.mean(0)[0]


def test_a_photo_without_a_hand_gives_none(photo):
    hands, model = reconstruct(photo)
    assert hands == []
    assert not hasattr(model, "images")


def test_the_record_is_json_and_agrees_with_its_own_camera(photo):
    hands, _ = reconstruct(photo, found("left", (450, 300)))
    record = json.loads(
        json.dumps(photo_json("a.jpg", (640, 480), hands, PhotoCamera(CAMERA, "given")))
    )
    [hand] = record["hands"]
    points = np.array(hand["joints_3d"]) @ np.array(record["camera"]["intrinsics"]).T
    np.testing.assert_allclose(points[:, :2] / points[:, 2:], hand["joints_2d_px"], atol=0.02)
    pose = axis_angle_to_matrix(torch.tensor(hand["mano"]["pose_axis_angle"]))
    torch.testing.assert_close(pose, hands[0].mano_pose, atol=1e-4, rtol=0)
    assert (hand["handedness"], hand["mano"]["side"]) == ("left", "left")


ODD = torch.tensor([[700.0, 0, 250], [0, 560, 310], [0, 0, 1]])
"""Pixels that are wider than high, and a principal point far from the centre."""


def seen(side, place):
    """An exact detection of a hand of mean shape at a place, and its true joints."""
    mano = ManoHand(side=side, tips="freihand")
    generator = torch.Generator().manual_seed(5)
    pose = axis_angle_to_matrix(0.25 * torch.randn(1, 16, 3, generator=generator))
    joints = mano(pose, torch.zeros(1, 10), torch.tensor([place])).joints[0]
    flat = project(joints, ODD).numpy()
    box = np.concatenate([flat.min(0), flat.max(0)])
    away = (joints - joints[9]).numpy()
    return Detection(box, flat, away, side, 0.99, 1), joints


def test_with_the_true_camera_hands_are_where_they_were(photo):
    """Two hands of mean shape, a third of a metre apart in depth, come back at their places."""
    right, true_right = seen("right", [-0.08, 0.03, 0.45])
    left, true_left = seen("left", [0.12, -0.05, 0.78])
    model = MediaPipe(MediaPipeConfig()).eval()
    look = PhotoReconstructor(FakeDetector([right, left]), model, CropConfig())
    hands = [row[0] for row in look(photo, ODD)]
    assert [hand.detection.handedness for hand in hands] == ["right", "left"]
    for hand, truth in zip(hands, (true_right, true_left)):
        assert hand.joints_3d[:, 2].mean() == pytest.approx(float(truth[:, 2].mean()), rel=0.05)
        np.testing.assert_allclose(hand.joints_2d, project(truth, ODD), atol=4)
    apart = (hands[1].joints_3d - hands[0].joints_3d).mean(0).norm()
    truth = (true_left - true_right).mean(0).norm()
    assert apart == pytest.approx(float(truth), rel=0.05)


def draw(photo, hand, hypotheses=3, seed=0):
    model = SeveralHands()
    reconstructor = PhotoReconstructor(FakeDetector([hand]), model, CropConfig(), seed=seed)
    model.sampling = SamplingConfig(hypotheses=hypotheses, temperature=1)
    [ranked] = reconstructor(photo, CAMERA)
    return ranked, model, reconstructor


def test_a_model_that_draws_nothing_gives_one_hand_without_a_confidence(photo):
    [hand], model = reconstruct(photo, found("right", (150, 300)))
    assert model.sampling is None
    assert hand.confidence is None
    assert hand.joint_confidence is None


def test_hypotheses_keep_the_models_order(photo):
    ranked, _, _ = draw(photo, found("right", (150, 300)))
    assert [hand.confidence for hand in ranked] == pytest.approx([0.9, 0.5, 0.1])
    assert ranked[1].joint_confidence[[0, 20]].tolist() == pytest.approx([0.5, 0.25])
    assert not torch.equal(ranked[1].vertices, ranked[0].vertices)


def test_the_models_own_sampling_says_how_many_hands_are_drawn(photo):
    _, model, reconstructor = draw(photo, found("right", (150, 300)))
    model.sampling = SamplingConfig()
    [[hand]] = reconstructor(photo, CAMERA)
    assert hand.confidence == pytest.approx(0.9)


def test_the_detectors_landmarks_reach_a_model_of_hypotheses_in_px_of_the_crop(photo):
    hand = found("left", (450, 300))
    _, model, _ = draw(photo, hand)
    pixels = torch.from_numpy(hand.landmarks_2d).float()
    mapping = model.intrinsics[0] * torch.tensor([-1.0, 1, 1]) @ torch.linalg.inv(CAMERA)
    expected = (torch.cat([pixels, torch.ones(21, 1)], 1) @ mapping.T)[:, :2]
    torch.testing.assert_close(model.keypoints.points[0], expected, atol=1e-2, rtol=0)
    assert model.keypoints.confidence.unique().tolist() == pytest.approx([0.9])


def test_a_seed_repeats_whatever_was_seen_before(photo):
    hand = found("right", (150, 300))
    first, _, reconstructor = draw(photo, hand)
    [again] = reconstructor(photo, CAMERA)
    other, _, _ = draw(photo, hand, seed=1)
    for rank in range(3):
        assert torch.equal(first[rank].mano_pose, again[rank].mano_pose)
        assert not torch.equal(first[rank].mano_pose, other[rank].mano_pose)


def test_every_hypothesis_of_a_left_hand_is_mirrored_back(photo):
    right, _, _ = draw(photo, found("right", (150, 300)))
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    left, _, _ = draw(mirrored, found("left", (490, 300)))
    flip = torch.tensor([-1.0, 1, 1])
    mano = ManoHand(side="left")
    for one, other in zip(left, right):
        torch.testing.assert_close(one.vertices, other.vertices * flip, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(one.joints_3d, other.joints_3d * flip, atol=1e-6, rtol=1e-5)
        pixels = other.joints_2d * torch.tensor([-1.0, 1]) + torch.tensor([640.0, 0])
        torch.testing.assert_close(one.joints_2d, pixels, atol=1e-2, rtol=0)
        assert one.confidence == other.confidence
        mesh = mano(one.mano_pose[None], one.betas[None], one.translation[None])
        torch.testing.assert_close(mesh.vertices[0], one.vertices, atol=1e-5, rtol=0)
        assert torch.equal(one.faces, mano.faces)


def test_the_record_ranks_the_hypotheses_of_each_hand(photo):
    ranked, _, _ = draw(photo, found("left", (450, 300)))
    camera = PhotoCamera(CAMERA, "guess")
    plain = photo_json("a.jpg", (640, 480), ranked[:1], camera)
    assert "hypotheses" not in plain["hands"][0]
    record = json.loads(json.dumps(photo_json("a.jpg", (640, 480), ranked[:1], camera, [ranked])))
    [hand] = record["hands"]
    assert [row["rank"] for row in hand["hypotheses"]] == [1, 2, 3]
    assert [row["confidence"] for row in hand["hypotheses"]] == [0.9, 0.5, 0.1]
    assert hand["confidence"] == 0.9
    for row, placed in zip(hand["hypotheses"], ranked):
        points = np.array(row["joints_3d"]) @ np.array(record["camera"]["intrinsics"]).T
        np.testing.assert_allclose(points[:, :2] / points[:, 2:], row["joints_2d_px"], atol=0.02)
        pose = axis_angle_to_matrix(torch.tensor(row["mano"]["pose_axis_angle"]))
        torch.testing.assert_close(pose, placed.mano_pose, atol=1e-4, rtol=0)
        assert row["mano"]["side"] == "left"
        assert len(row["joint_confidence"]) == 21


@pytest.mark.parametrize("side", ["right", "left"])
def test_meshes_come_back_closed_towards_the_outside_and_in_place(photo, tmp_path, side):
    hands, _ = reconstruct(photo, found(side, (450, 300)))
    obj, glb = write_meshes(tmp_path / "a.b", hands)
    assert obj.name == f"a.b_hand0_{side}.obj"
    mesh = trimesh.load(obj, process=False)
    np.testing.assert_allclose(mesh.vertices, hands[0].vertices, atol=1e-6)
    assert mesh.volume > 0
    upright = trimesh.load(glb, force="mesh", process=False)
    np.testing.assert_allclose(upright.vertices, mesh.vertices * [1, -1, -1], atol=1e-6)
    assert upright.volume > 0


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_model_with_colours_gives_them_to_the_mesh_as_gltf_wants_them(tmp_path, side):
    photo = np.full((480, 640, 3), (188, 0, 255), dtype=np.uint8)
    detector = FakeDetector([found(side, (450, 300))])
    [hands] = PhotoReconstructor(detector, Coloured(), CropConfig())(photo, CAMERA)
    colours = hands[0].colours
    assert colours is not None
    torch.testing.assert_close(colours, torch.tensor([188 / 255, 0, 1]).expand(778, 3))
    obj, glb = write_meshes(tmp_path / "a", hands)
    (mesh,) = trimesh.load_scene(glb, process=False).geometry.values()
    stored = np.asarray(mesh.visual.vertex_attributes["color"])
    # sRGB's 188 is half of the light
    np.testing.assert_allclose(stored[:, :3] / 255, np.tile([0.5, 0, 1], (778, 1)), atol=0.01)
    assert mesh.visual.material.metallicFactor == 0
    assert trimesh.load(obj, process=False).visual.kind != "vertex"


def test_hands_of_a_model_without_colours_have_none(photo):
    hands, _ = reconstruct(photo, found("right", (450, 300)))
    assert hands[0].colours is None
