import pytest
import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.mano_joints import ManoJoints


@pytest.mark.parametrize("tips", ["mano", "freihand"])
def test_joints_are_those_of_the_whole_hand(tips: str) -> None:
    hand = ManoHand(tips=tips)
    generator = torch.Generator().manual_seed(0)
    pose = hand.full_pose(torch.randn(7, 48, generator=generator), flat_hand_mean=False)
    betas = torch.randn(7, 10, generator=generator)
    expected = hand(pose, betas).joints
    torch.testing.assert_close(ManoJoints(hand)(pose, betas), expected, rtol=0, atol=1e-6)
