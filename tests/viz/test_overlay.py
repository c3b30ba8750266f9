import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.geometry.camera import default_intrinsics, project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.overlay import DrawnHand, draw_hands, overlay_image, side_view

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def mano():
    return ManoHand()


def hand_at(mano, place, colour=RED):
    mesh = mano(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), torch.tensor([place]))
    centre = mesh.vertices.mean(1, keepdim=True) - torch.tensor([[place]])
    camera = default_intrinsics(200, 160)
    joints = project((mesh.joints - centre)[0], camera)
    return DrawnHand((mesh.vertices - centre)[0], mano.faces, joints, colour)


def test_only_the_window_of_the_hand_changes(mano):
    photo = np.full((160, 200, 3), 90, dtype=np.uint8)
    drawn = draw_hands(photo, [hand_at(mano, [0.1, 0.0, 0.8])], default_intrinsics(200, 160),
                       skeleton=False)  # fmt: skip
    changed = (drawn != photo).any(axis=2)
    assert changed[:, :90].sum() == 0
    assert changed[80, 132]
    assert 200 < changed.sum() < 6000
    assert (photo == 90).all()


def test_the_nearer_hand_hides_the_farther_one_whatever_their_order(mano):
    photo = np.zeros((160, 200, 3), dtype=np.uint8)
    near, far = hand_at(mano, [0.0, 0, 0.6], RED), hand_at(mano, [0.0, 0, 1.0], BLUE)
    for hands in ([near, far], [far, near]):
        middle = draw_hands(photo, hands, default_intrinsics(200, 160), skeleton=False)[80, 100]
        assert middle[0] > 50
        assert middle[2] == 0


def test_a_window_at_the_border_is_drawn_as_in_the_whole_picture(mano):
    photo = np.full((160, 200, 3), 90, dtype=np.uint8)
    hand = hand_at(mano, [-0.3, -0.2, 0.8])
    small = draw_hands(photo, [hand], default_intrinsics(200, 160), skeleton=False)
    wide = np.full((360, 400, 3), 90, dtype=np.uint8)
    camera = default_intrinsics(200, 160)
    camera[:2, 2] += 100
    large = draw_hands(wide, [hand], camera, skeleton=False)[100:260, 100:300]
    assert (small != photo).any()
    np.testing.assert_array_equal(small, large)


@pytest.mark.parametrize("place", [[9.0, 0.0, 1.0], [0.0, -9.0, 1.0]])
def test_a_hand_outside_the_photo_changes_nothing(mano, place):
    photo = np.full((160, 200, 3), 90, dtype=np.uint8)
    drawn = draw_hands(photo, [hand_at(mano, place)], default_intrinsics(200, 160))
    np.testing.assert_array_equal(drawn, photo)


def test_the_skeleton_is_drawn_at_the_joints(mano):
    photo = np.zeros((160, 200, 3), dtype=np.uint8)
    hand = hand_at(mano, [0.0, 0, 0.6])
    drawn = draw_hands(photo, [hand], default_intrinsics(200, 160))
    x, y = hand.joints_2d[8].int().tolist()
    assert drawn[y, x].max() > 150


def test_the_side_view_shows_the_hand_large_and_without_a_hand_is_blank(mano):
    shown = side_view([hand_at(mano, [0.0, 0, 0.6])], 100)
    inked = (shown != 250).any(axis=2)
    assert max(np.ptp(axis) for axis in np.nonzero(inked)) > 30
    assert (side_view([], 50) == 250).all()


def test_the_picture_holds_photo_and_side_view_and_large_photos_shrink(mano):
    photo = np.full((1600, 2000, 3), 90, dtype=np.uint8)
    picture = overlay_image(photo, [hand_at(mano, [0.0, 0, 0.6])], default_intrinsics(2000, 1600))
    assert isinstance(picture, Image.Image)
    assert picture.height == 1024
    assert picture.width == 1280 + 640
    pixels = np.array(picture)
    assert pixels[512, 640, 0] > pixels[512, 640, 1]
