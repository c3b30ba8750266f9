import json

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from hand_pipeline.data.batch import HandPrediction
from hand_pipeline.data.cropping import CropConfig
from hand_pipeline.data.detector import Detection, DetectorConfig
from hand_pipeline.evaluation.hand_files import photo_json, write_meshes
from hand_pipeline.evaluation.reconstruct import PhotoReconstructor
from hand_pipeline.geometry.camera import default_intrinsics, project, unproject
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

CAMERA = default_intrinsics(640, 480)


class FakeDetector:
    cfg = DetectorConfig()

    def __init__(self, hands):
        self.hands = hands

    def __call__(self, photo):
        return self.hands


class OneDepth(nn.Module):
    """Puts a fixed pose where the crop's centre is seen, at 0.5 m; notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.mano = ManoHand()
        self.crop_scale = torch.tensor(1.75)

    def predict(self, images, intrinsics, ids, keypoints=None):
        self.images, self.intrinsics, self.ids = images, intrinsics, ids
        count = len(images)
        generator = torch.Generator().manual_seed(3)
        pose = axis_angle_to_matrix(0.3 * torch.randn(1, 16, 3, generator=generator))
        pose = pose.expand(count, 16, 3, 3)
        betas = torch.randn(1, 10, generator=generator).expand(count, 10)
        middle = torch.full((count, 1, 2), images.shape[-1] / 2)
        place = unproject(middle, torch.full((count, 1), 0.5), intrinsics)[:, 0]
        mesh = self.mano(pose, betas, place)
        joints_2d = project(mesh.joints, intrinsics)
        return HandPrediction(ids, intrinsics, joints_2d, mesh.joints, mesh.vertices, pose, betas)


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
    return PhotoReconstructor(FakeDetector(list(hands)), model, CropConfig())(photo, CAMERA), model


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
    record = json.loads(json.dumps(photo_json("a.jpg", (640, 480), hands, CAMERA, False)))
    [hand] = record["hands"]
    points = np.array(hand["joints_3d"]) @ np.array(record["camera"]["intrinsics"]).T
    np.testing.assert_allclose(points[:, :2] / points[:, 2:], hand["joints_2d_px"], atol=0.02)
    pose = axis_angle_to_matrix(torch.tensor(hand["mano"]["pose_axis_angle"]))
    torch.testing.assert_close(pose, hands[0].mano_pose, atol=1e-4, rtol=0)
    assert (hand["handedness"], hand["mano"]["side"]) == ("left", "left")


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
