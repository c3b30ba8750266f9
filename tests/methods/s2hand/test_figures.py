import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.s2hand.figures import TILES, textured_sheet
from hand_pipeline.methods.s2hand.heads import FIRST_LIGHT
from hand_pipeline.methods.s2hand.s2hand import TexturedHands

SIDE, SIZE, HEADER, CAPTION, GAP, BETWEEN = 64, 96, 22, 18, 4, 20
CAMERA = torch.tensor([[2.0 * SIDE, 0, SIDE / 2], [0, 2.0 * SIDE, SIDE / 2], [0, 0, 1]])
STRIP = len(TILES) * (SIZE + GAP) - GAP


def sheet(count: int, captions=(), lamp: float = 0.4):
    mano = ManoHand()
    rest = mano(torch.eye(3).repeat(1, 16, 1, 1), torch.zeros(1, 10)).vertices
    rest = rest.repeat(count, 1, 1)
    middle = (rest.amax(1, keepdim=True) + rest.amin(1, keepdim=True)) / 2
    vertices = rest - middle + torch.tensor([0, 0, 0.6])
    photos = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    photos[:, 2] = 200
    red = torch.tensor([1.0, 0, 0]).expand(count, 778, 3)
    light = torch.tensor(FIRST_LIGHT).repeat(count, 1)
    light[:, 1] = lamp
    cameras = CAMERA.expand(count, 3, 3)
    batch = HandBatch.unlabelled(tuple(map(str, range(count))), photos, cameras)
    found = TexturedHands(
        batch.ids, cameras, batch.joints_2d[:, None], batch.joints_3d[:, None], vertices[:, None],
        batch.mano_pose[:, None], batch.betas, colours=red, light=light,
    )  # fmt: skip
    return np.array(textured_sheet(batch, found, mano.faces, captions, size=SIZE))


def test_hands_without_colours_are_an_error():
    camera, none = CAMERA[None], torch.zeros(1, 21, 3)
    batch = HandBatch.unlabelled(("0",), torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8), camera)
    bare = HandHypotheses.single(
        ("0",), camera, none[..., :2], none, torch.zeros(1, 778, 3), batch.mano_pose, batch.betas
    )
    with pytest.raises(TypeError, match="only_hands"):
        textured_sheet(batch, bare, ManoHand().faces)


def tiles(picture):
    """The four tiles of the first hand."""
    row = picture[HEADER : HEADER + SIZE]
    return [row[:, GAP + n * (SIZE + GAP) :][:, :SIZE] for n in range(len(TILES))]


def test_photo_hand_over_it_hand_from_the_side_and_texture_stand_side_by_side():
    picture = sheet(1)
    assert picture.shape == (HEADER + SIZE + GAP, STRIP + 2 * GAP, 3)
    assert (picture[:HEADER] < 100).any()  # headings
    photo, over, side, texture = tiles(picture)
    assert (photo == (0, 0, 200)).all()
    hand = (over[..., 0] > 50) & (over[..., 2] == 0)  # within the outline's ramp
    assert 0.02 < hand.mean() < 0.9
    assert (over[0, 0] == (0, 0, 200)).all()
    assert (side[0, 0] == 255).all()
    assert (texture[0, 0] == 255).all()
    seen = side[..., 1] < 128
    assert 0.01 < seen.mean() < 0.9
    assert np.ptp(np.nonzero(seen)[1]) != np.ptp(np.nonzero(hand)[1])  # as wide as it is thick


def test_the_texture_is_the_reflectance_whatever_the_light():
    bright, dark = tiles(sheet(1)), tiles(sheet(1, lamp=0.0))
    hand = (bright[1][..., 0] > 50) & (bright[1][..., 2] == 0)
    assert (bright[3][hand] == (255, 0, 0)).all()
    assert (dark[3][hand] == (255, 0, 0)).all()
    for over in (1, 2):
        assert bright[over][..., 0].astype(int).sum() > dark[over][..., 0].astype(int).sum()
    np.testing.assert_allclose(dark[1][hand][:, 0], 0.6 * 255, atol=1)


def test_hands_stand_row_by_row_with_their_captions_below():
    width = 2 * STRIP + BETWEEN + 2 * GAP
    assert sheet(4).shape == (HEADER + 2 * (SIZE + GAP), width, 3)
    captioned = sheet(3, captions=["first", "second", "third"])
    assert captioned.shape == (HEADER + 2 * (SIZE + GAP + CAPTION), width, 3)
    below = captioned[HEADER + SIZE : HEADER + SIZE + CAPTION]
    assert (below[:, :STRIP] < 100).any()
    assert (below[:, STRIP + BETWEEN :] < 100).any()


def test_no_hand_or_too_few_captions_are_an_error():
    with pytest.raises(ValueError, match="at least one hand"):
        sheet(0)
    with pytest.raises(ValueError, match="expected 2 captions, got 1"):
        sheet(2, captions=["only one"])
