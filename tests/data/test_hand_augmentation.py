"""Labels after augmentation are those of the warped image, exactly."""

import dataclasses

import pytest
import torch

from hand_pipeline.data.batch import HandBatch, true_keypoints
from hand_pipeline.data.hand_augmentation import (
    HandAugmentation,
    HandAugmentationConfig,
    transform_labels,
)
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand

SOURCE, SIZE = 96, 64


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture
def batch(mano) -> HandBatch:
    generator = torch.Generator().manual_seed(0)
    pose = mano.full_pose(0.4 * torch.randn(5, 48, generator=generator), False)
    betas = torch.randn(5, 10, generator=generator)
    hand = mano(pose, betas, torch.tensor([[0.01, -0.02, 0.6]]).repeat(5, 1))
    intrinsics = torch.tensor([[210.0, 0, 45], [0, 205, 50], [0, 0, 1]]).repeat(5, 1, 1)
    yes = torch.ones(5, dtype=torch.bool)
    return HandBatch(
        ids=tuple("abcde"),
        images=torch.randint(0, 256, (5, 3, SOURCE, SOURCE), generator=generator).to(torch.uint8),
        intrinsics=intrinsics,
        joints_2d=project(hand.joints, intrinsics),
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
    )


def augmentation(**changes) -> HandAugmentation:
    cfg = {"image_size": SIZE, "rotation_deg": 180.0, "scale": 0.4, "translation": 0.3, **changes}
    return HandAugmentation(HandAugmentationConfig(**cfg))


def test_projecting_the_new_3d_gives_the_new_2d(batch):
    torch.manual_seed(0)
    out = augmentation()(batch)
    difference = project(out.joints_3d, out.intrinsics) - out.joints_2d
    assert difference.abs().max() < 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_labels_stay_exact_under_autocast(batch, training):
    torch.manual_seed(0)
    layer = augmentation().train(training)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(batch)
    difference = project(out.joints_3d, out.intrinsics) - out.joints_2d
    assert difference.abs().max() < 1e-3


def test_the_new_2d_is_the_affine_image_of_the_old(batch):
    layer = augmentation()
    torch.manual_seed(0)
    matrix = layer.draw_matrices(batch.images)
    torch.manual_seed(0)
    out = layer(batch)
    torch.testing.assert_close(out.joints_2d, apply_affine(matrix, batch.joints_2d))


def test_posing_mano_with_the_new_pose_at_the_root_gives_the_new_vertices(batch, mano):
    torch.manual_seed(1)
    out = augmentation()(batch)
    posed = mano(out.mano_pose, out.betas)
    placed = posed.vertices - posed.joints[:, :1] + out.joints_3d[:, :1]
    assert (placed - out.vertices).abs().max() < 1e-5


def test_the_hand_keeps_its_depth_and_the_camera_stays_a_camera(batch):
    torch.manual_seed(2)
    out = augmentation()(batch)
    torch.testing.assert_close(out.joints_3d[..., 2], batch.joints_3d[..., 2])
    torch.testing.assert_close(out.intrinsics[:, 2], torch.tensor([0.0, 0, 1]).expand(5, 3))
    assert (out.intrinsics[:, [0, 1], [0, 1]] > 0).all()
    assert out.intrinsics[:, 1, 0].abs().max() < 1e-4


def test_the_picture_follows_the_labels(batch):
    images = torch.zeros_like(batch.images)
    spot = torch.tensor([40, 60])  # x, y
    images[:, :, spot[1] - 2 : spot[1] + 3, spot[0] - 2 : spot[0] + 3] = 255
    marked = dataclasses.replace(
        batch, images=images, joints_2d=(spot + 0.5).expand(5, 21, 2).clone()
    )
    torch.manual_seed(3)
    out = augmentation(
        translation=0.05, brightness=0, contrast=0, saturation=0, hue=0, padding="zeros"
    )(marked)
    bright = out.images.mean(1) - out.images.mean(1).amin((1, 2), keepdim=True)
    weight = bright / bright.sum((1, 2), keepdim=True)
    centre = torch.arange(SIZE) + 0.5
    found = torch.stack([(weight.sum(1) * centre).sum(1), (weight.sum(2) * centre).sum(1)], -1)
    assert (found - out.joints_2d[:, 0]).abs().max() < 0.3


def test_unlabelled_joints_stay_zero(batch):
    has = batch.has_joints_2d.clone()
    has[:, 3] = False
    partial = dataclasses.replace(
        batch, joints_2d=batch.joints_2d * has[..., None], has_joints_2d=has
    )
    out = augmentation()(partial)
    assert out.joints_2d[:, 3].abs().max() == 0
    assert out.joints_2d[:, 4].abs().min() > 0


def test_evaluation_only_resizes(batch):
    layer = augmentation().eval()
    out = layer(batch)
    assert out.images.shape == (5, 3, SIZE, SIZE)
    torch.testing.assert_close(out.joints_3d, batch.joints_3d)
    torch.testing.assert_close(out.joints_2d, batch.joints_2d * (SIZE / SOURCE))
    torch.testing.assert_close(project(out.joints_3d, out.intrinsics), out.joints_2d)


def test_evaluation_is_the_same_every_time(batch):
    layer = augmentation().eval()
    torch.testing.assert_close(layer(batch).images, layer(batch).images, rtol=0, atol=0)


def test_the_same_seed_draws_the_same_batch(batch):
    layer = augmentation()
    torch.manual_seed(5)
    first = layer(batch)
    torch.manual_seed(5)
    torch.testing.assert_close(layer(batch).images, first.images, rtol=0, atol=0)


def test_without_ranges_nothing_happens_but_the_resize(batch):
    still = {"rotation_deg": 0.0, "scale": 0.0, "translation": 0.0}
    plain = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    layer = augmentation(**still, **plain)
    out = layer(batch)
    expected = layer.eval()(batch)
    torch.testing.assert_close(out.images, expected.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.vertices, batch.vertices, atol=1e-6, rtol=0)


def test_a_mirroring_matrix_is_refused(batch):
    mirror = torch.diag(torch.tensor([-1.0, 1, 1])).expand(5, 3, 3)
    with pytest.raises(ValueError, match="mirror"):
        transform_labels(batch, mirror)


@pytest.mark.parametrize("training", [True, False])
def test_keypoints_that_equal_the_labels_stay_equal(batch, training):
    torch.manual_seed(4)
    known = true_keypoints(batch)._replace(points_3d=batch.joints_3d)
    seen = dataclasses.replace(batch, keypoints=known)
    out = augmentation().train(training)(seen)
    torch.testing.assert_close(out.keypoints.points_3d, out.joints_3d, rtol=0, atol=1e-5)
    torch.testing.assert_close(out.keypoints.points, out.joints_2d, rtol=0, atol=0)
    assert (out.joints_2d - batch.joints_2d).abs().max() > 1
    assert out.keypoints.confidence.equal(seen.keypoints.confidence)
