import numpy as np
import pytest
import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz import hand_sheet as module
from hand_pipeline.viz.hand_sheet import hand_sheet

BLUE, RED = (0.2, 0.2, 1.0), (1.0, 0.2, 0.2)


def hands(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    mano = ManoHand()
    pose = torch.eye(3).repeat(count, 16, 1, 1)
    pose[:, 0] = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    return mano(pose, torch.zeros(count, 10)).vertices, mano.faces


def test_each_hand_has_its_place_and_colour(monkeypatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    vertices, faces = hands(3)
    picture = hand_sheet(vertices, faces, ["a", "b", "c"], [BLUE, RED, BLUE], columns=2, size=32)
    assert picture.size == (2 * 36 + 4, 2 * 52 + 4)
    pixels = np.asarray(picture).astype(int)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        tile = pixels[4 + 52 * row : 36 + 52 * row, 4 + 36 * column : 36 + 36 * column]
        drawn = tile[tile.min(2) < 200]
        assert len(drawn) > 40
        red_over_blue = drawn[:, 0].mean() - drawn[:, 2].mean()
        assert (red_over_blue > 30) == (number == 1)
    assert (pixels[60:92, 44:] == 255).all()  # no fourth hand


def test_captions_and_colours_must_be_of_all_hands() -> None:
    vertices, faces = hands(2)
    with pytest.raises(ValueError, match="each of 2 hands"):
        hand_sheet(vertices, faces, ["a"], [BLUE, BLUE], columns=1)
    with pytest.raises(ValueError, match="at least one"):
        hand_sheet(vertices[:0], faces, [], [], columns=1)
