import numpy as np
import pytest
import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.figures import before_and_after, code_use
from hand_pipeline.viz.figure import to_image


def test_each_hand_is_drawn_before_after_and_over_each_other() -> None:
    mano = ManoHand()
    vertices = mano(torch.eye(3).repeat(3, 16, 1, 1), torch.zeros(3, 10)).vertices
    picture = before_and_after(vertices, vertices, mano.faces, ["a", "b", "c"], size=32)
    assert picture.width == 2 * (3 * 38 + 6)
    pixels = np.asarray(picture).astype(int)
    tile = pixels[24 : 24 + 32, 6:38]
    assert (tile.min(2) < 250).mean() > 0.05  # a hand, not bare paper
    empty = pixels[24 + 56 :, picture.width // 2 :]
    assert (empty == 255).all()  # no fourth hand


def test_captions_must_be_of_all_hands() -> None:
    with pytest.raises(ValueError, match="caption for each of 1 hands"):
        before_and_after(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), ManoHand().faces, [])


def test_use_of_codes_is_named_in_the_title() -> None:
    figure = code_use(np.array([5, 0, 1, 0]))
    assert figure.axes[0].get_title() == "2 of 4 codes are used"
    assert to_image(figure).width > 100
    with pytest.raises(ValueError, match="got none"):
        code_use(np.zeros(4, dtype=np.int64))
