"""Training masks, wrong tokens among the visible ones, and what is asked for."""

import math

import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.config import PoseTokenizerConfig
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer
from hand_pipeline.methods.maskhand.token_masking import (
    draw_mask,
    hide_tokens,
    random_mask,
    tokens_nearby,
)

CODES, MASK = 30, 30


def test_training_masks_hide_as_many_tokens_as_the_cosine_says():
    tau = torch.tensor([0.0, 0.25, 0.5, 2 / 3, 0.9, 1.0])
    mask = random_mask(tau, 64, torch.Generator().manual_seed(0))
    expected = [64, *(math.ceil(math.cos(math.pi * t / 2) * 64) for t in (0.25, 0.5)), 32, 11, 1]
    assert mask.sum(1).tolist() == expected


def test_training_masks_hide_every_token_equally_often_and_repeat_with_their_seed():
    tau = torch.full((4000,), 0.5)
    mask = random_mask(tau, 8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mask.float().mean(0), torch.full((8,), 6 / 8), atol=0.03, rtol=0)
    torch.testing.assert_close(mask, random_mask(tau, 8, torch.Generator().manual_seed(0)))
    assert (mask != random_mask(tau, 8, torch.Generator().manual_seed(1))).any()


def test_hands_draw_tau_from_the_whole_range_and_not_beyond_it():
    torch.manual_seed(0)
    hidden = draw_mask(2000, 64, (0.5, 0.75), "cpu").sum(1)
    most, least = (math.ceil(math.cos(math.pi * tau / 2) * 64) for tau in (0.5, 0.75))
    assert (hidden.min(), hidden.max()) == (least, most)


def test_what_is_asked_for_is_hidden_or_wrong_and_all_else_is_seen_as_it_is():
    torch.manual_seed(0)
    targets = torch.randint(CODES, (500, 16))
    hidden = random_mask(torch.rand(500), 16)
    masked = hide_tokens(targets, targets, hidden, 0.3, MASK)
    assert ((masked.ids == MASK) == hidden).all()
    assert (masked.asked == (masked.ids != targets)).all()
    wrong = (masked.asked & ~hidden).sum() / (~hidden).sum()
    assert abs(wrong - 0.3 * (CODES - 1) / CODES) < 0.03  # a random code may be the right one


def test_without_corruption_the_visible_tokens_are_those_given():
    targets, given = torch.zeros(3, 4, dtype=torch.int64), torch.arange(12).reshape(3, 4)
    hidden = torch.eye(3, 4, dtype=torch.bool)
    masked = hide_tokens(targets, given, hidden, 0.0, MASK)
    assert torch.equal(masked.ids, given.masked_fill(hidden, MASK))
    assert torch.equal(masked.asked, hidden | (given != 0))


def test_a_pose_nearby_has_other_tokens_the_more_it_is_turned():
    torch.manual_seed(0)
    tokenizer = PoseTokenizer(
        PoseTokenizerConfig(num_tokens=16, num_codes=24, code_dim=8, width=16)
    ).eval()
    pose = ManoHand().full_pose(torch.randn(50, 48) * 0.2, False)
    truth = tokenizer.tokenize(pose)
    none, little, much = (
        (tokens_nearby(tokenizer, pose, spread) != truth).float().mean()
        for spread in (0.0, 0.1, 1.0)
    )
    assert none == 0
    assert 0 < little < much
