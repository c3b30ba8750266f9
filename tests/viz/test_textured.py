import numpy as np
import pytest
import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.models.s2hand_heads import FIRST_LIGHT
from hand_pipeline.viz.textured import textured_sheet

SIDE = 64
CAMERA = torch.tensor([[2.0 * SIDE, 0, SIDE / 2], [0, 2.0 * SIDE, SIDE / 2], [0, 0, 1]])


def sheet(count: int):
    mano = ManoHand()
    rest = mano(torch.eye(3).repeat(count, 16, 1, 1), torch.zeros(count, 10)).vertices
    middle = (rest.amax(1, keepdim=True) + rest.amin(1, keepdim=True)) / 2
    vertices = rest - middle + torch.tensor([0, 0, 0.6])
    photos = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    photos[:, 2] = 200
    red = torch.tensor([1.0, 0, 0]).expand(count, 778, 3)
    light = torch.tensor(FIRST_LIGHT).expand(count, -1)
    cameras = CAMERA.expand(count, 3, 3)
    return np.array(textured_sheet(photos, vertices, red, light, cameras, mano.faces))


def test_photo_render_over_it_and_render_stand_side_by_side():
    picture = sheet(1)[4:-4, 4:-4]
    assert picture.shape == (SIDE, 3 * SIDE, 3)
    photo, over, alone = np.split(picture, 3, axis=1)
    assert (photo == (0, 0, 200)).all()
    hand = (over[..., 0] > 50) & (over[..., 2] == 0)  # within the outline's ramp
    assert 0.02 < hand.mean() < 0.9
    assert (over[0, 0] == (0, 0, 200)).all()
    assert (alone[0, 0] == 255).all()
    np.testing.assert_allclose(alone[hand].astype(int), over[hand].astype(int), atol=1)


def test_hands_stand_row_by_row():
    assert sheet(4).shape == (2 * (SIDE + 4) + 4, 3 * (3 * SIDE + 4) + 4, 3)


def test_no_hand_is_an_error():
    nothing = torch.zeros(0, 778, 3)
    photos, light = torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8), torch.zeros(0, 11)
    with pytest.raises(ValueError, match="at least one hand"):
        textured_sheet(photos, nothing, nothing, light, torch.zeros(0, 3, 3), ManoHand().faces)
