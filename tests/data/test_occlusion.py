"""Hands with most of their box painted black."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.occlusion import (
    OcclusionConfig,
    black_cells,
    black_out,
    occlude,
    tight_boxes,
)
from hand_pipeline.geometry.camera import project

SIZE = 100


@pytest.fixture
def batch() -> HandBatch:
    """Grey pictures; the first hand has a mesh, the second joints only, two of them unlabelled."""
    generator = torch.Generator().manual_seed(0)
    camera = torch.tensor([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]).repeat(2, 1, 1)
    vertices = torch.rand(2, 778, 3, generator=generator) * torch.tensor([0.4, 0.6, 0.1])
    vertices += torch.tensor([-0.2, -0.3, 1.0])
    vertices[1] = 0
    joints = 30 + 40 * torch.rand(2, 21, 2, generator=generator)
    has_joints = torch.ones(2, 21, dtype=torch.bool)
    has_joints[1, 3:5] = False
    joints[1, 3:5] = 0
    return HandBatch(
        ids=("with mesh", "joints only"),
        images=torch.full((2, 3, SIZE, SIZE), 90, dtype=torch.uint8),
        intrinsics=camera,
        joints_2d=joints,
        joints_3d=torch.zeros(2, 21, 3),
        vertices=vertices,
        mano_pose=torch.eye(3).repeat(2, 16, 1, 1),
        betas=torch.zeros(2, 10),
        has_joints_2d=has_joints,
        has_joints_3d=torch.zeros(2, 21, dtype=torch.bool),
        has_mano=torch.zeros(2, dtype=torch.bool),
        has_vertices=torch.tensor([True, False]),
    )


@pytest.mark.parametrize("share", [0.0, 0.8, 0.9, 1.0])
def test_exactly_that_share_of_the_cells_is_black(share):
    cells = black_cells(5, OcclusionConfig(share=share))
    assert cells.shape == (10, 10)
    assert cells.sum() == round(100 * share)


def test_cells_are_a_function_of_seed_and_index():
    cfg = OcclusionConfig()
    np.testing.assert_array_equal(black_cells(3, cfg), black_cells(3, cfg))
    assert (black_cells(3, cfg) != black_cells(4, cfg)).any()
    assert (black_cells(3, cfg) != black_cells(3, OcclusionConfig(seed=1))).any()


def test_more_is_hidden_where_less_was():
    some, most = (black_cells(3, OcclusionConfig(share=share)) for share in (0.8, 0.9))
    assert (most | ~some).all()


def test_what_is_hidden_of_a_hand_does_not_depend_on_its_batch(batch):
    both = occlude(batch, [6, 7], OcclusionConfig())
    swapped = replace(
        batch, **{name: getattr(batch, name).flip(0) for name in (
            "images", "intrinsics", "joints_2d", "vertices", "has_joints_2d", "has_vertices"
        )}
    )  # fmt: skip
    other = occlude(swapped, [7, 6], OcclusionConfig())
    assert torch.equal(other.batch.images.flip(0), both.batch.images)
    assert torch.equal(other.hidden.flip(0), both.hidden)


def test_pixels_are_black_in_black_cells_of_the_box_only(batch):
    cfg = OcclusionConfig(share=0.8)
    found = occlude(batch, [6, 7], cfg).batch.images
    for number, index in enumerate((6, 7)):
        left, top, right, bottom = tight_boxes(batch)[number].tolist()
        cells = black_cells(index, cfg)
        expected = np.full((SIZE, SIZE), 90)
        for row in range(SIZE):
            for column in range(SIZE):
                x, y = (column + 0.5 - left) / (right - left), (row + 0.5 - top) / (bottom - top)
                if 0 <= x < 1 and 0 <= y < 1 and cells[int(10 * y), int(10 * x)]:
                    expected[row, column] = 0
        for channel in found[number].numpy():
            np.testing.assert_array_equal(channel, expected)
    assert (batch.images == 90).all()


def test_the_hidden_joints_are_the_labelled_ones_on_black(batch):
    found = occlude(batch, [6, 7], OcclusionConfig(share=0.5))
    pixel = batch.joints_2d.long()
    hand = torch.arange(2)[:, None]
    # away from the cells' borders the pixel under a joint tells; on them its centre may lie beyond
    black = found.batch.images[hand, 0, pixel[..., 1], pixel[..., 0]] == 0
    agree = (black & batch.has_joints_2d) == found.hidden
    assert agree.float().mean() > 0.8
    assert found.hidden.any()
    assert not found.hidden[1, 3:5].any()


def test_all_black_hides_every_joint_in_the_box_and_none_hides_none(batch):
    everything = occlude(batch, [0, 1], OcclusionConfig(share=1.0))
    assert everything.hidden.sum() == batch.has_joints_2d.sum()
    nothing = occlude(batch, [0, 1], OcclusionConfig(share=0.0))
    assert not nothing.hidden.any()
    assert torch.equal(nothing.batch.images, batch.images)


def test_training_blackens_a_share_of_each_hands_own_and_its_keypoints(batch):
    """All cells: as `occlude`. Half: about half of the box. None, or no place: nothing."""
    torch.manual_seed(0)
    seen = Keypoints(batch.joints_2d + 0.5, torch.ones(2, 21))
    given = replace(batch, keypoints=seen)
    every = black_out(given, torch.ones(2))
    whole = occlude(batch, [0, 1], OcclusionConfig(share=1.0)).batch
    assert torch.equal(every.images, whole.images)
    assert (every.keypoints.confidence == 0).sum() > 30
    none = black_out(given, torch.zeros(2))
    assert torch.equal(none.images, batch.images)
    assert (none.keypoints.confidence == 1).all()
    half = black_out(given, torch.tensor([0.5, 0.0]))
    black = (half.images[0] == 0).sum() / (every.images[0] == 0).sum()
    assert 0.45 < black < 0.55
    assert torch.equal(half.images[1], batch.images[1])
    nowhere = replace(given, has_vertices=torch.zeros(2, dtype=torch.bool),
                      has_joints_2d=torch.zeros(2, 21, dtype=torch.bool))  # fmt: skip
    outside = replace(given, joints_2d=batch.joints_2d + 200)
    assert torch.equal(black_out(nowhere, torch.ones(2)).images, batch.images)
    assert torch.equal(black_out(outside, torch.ones(2)).images[1], batch.images[1])


def test_the_box_is_the_meshs_or_else_the_labelled_joints(batch):
    boxes = tight_boxes(batch)
    mesh = project(batch.vertices[0], batch.intrinsics[0])
    torch.testing.assert_close(boxes[0], torch.cat([mesh.amin(0), mesh.amax(0)]))
    joints = batch.joints_2d[1, batch.has_joints_2d[1]]
    torch.testing.assert_close(boxes[1], torch.cat([joints.amin(0), joints.amax(0)]))


def test_the_box_ends_at_the_pictures_border(batch):
    wide = replace(batch, vertices=batch.vertices * torch.tensor([9.0, 1, 1]))
    assert tight_boxes(wide)[0, [0, 2]].tolist() == [0, SIZE]


def test_a_hand_that_is_nowhere_is_refused_by_name(batch):
    nowhere = replace(batch, has_joints_2d=torch.zeros_like(batch.has_joints_2d))
    with pytest.raises(ValueError, match="where the hand of joints only is"):
        occlude(nowhere, [0, 1], OcclusionConfig())
    outside = replace(batch, vertices=batch.vertices + torch.tensor([5.0, 0, 0]))
    with pytest.raises(ValueError, match="hand of with mesh is outside"):
        occlude(outside, [0, 1], OcclusionConfig())


def test_augmented_images_and_wrong_indices_are_refused(batch):
    with pytest.raises(ValueError, match="expected uint8 images"):
        occlude(replace(batch, images=batch.images.float()), [0, 1], OcclusionConfig())
    with pytest.raises(ValueError, match="expected 2 indices"):
        occlude(batch, [0], OcclusionConfig())
