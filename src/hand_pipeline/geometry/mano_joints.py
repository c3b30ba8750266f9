"""MANO's joints without its mesh: the same numbers as `ManoHand`'s at a fraction of the work."""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import TIP_VERTICES, ManoHand
from hand_pipeline.geometry.precision import full_precision


class ManoJoints:
    """Poses the 21 joints of a hand model; differentiable, batched.

    Only the 5 tips are skinned, and the joints are turned a level of the fingers at a time: for
    what needs joints alone hundreds of times (`geometry.hand_fit`).

    Args:
        mano: the hand model; its device and type are used.
    """

    def __init__(self, mano: ManoHand) -> None:
        tips = list(TIP_VERTICES[mano.tips])
        basis = torch.cat([mano.template[..., None], mano.shapedirs], dim=-1)
        self._joints = torch.einsum("jv,vcs->jcs", mano.joint_regressor, basis)
        self._tips = basis[tips]
        self._tip_pose = mano.posedirs.unflatten(1, (-1, 3))[:, tips].flatten(1)
        self._tip_weights = mano.skinning_weights[tips]
        self._order = list(permutation("mano", "openpose"))

    @full_precision
    def __call__(
        self, mano_pose: Float[Tensor, "batch 16 3 3"], betas: Float[Tensor, "batch 10"]
    ) -> Float[Tensor, "batch 21 3"]:
        """`ManoHand.forward(mano_pose, betas).joints`: metres, OpenPose order."""
        shape = torch.cat([torch.ones_like(betas[:, :1]), betas], dim=1)
        rest = torch.einsum("jcs,bs->bjc", self._joints, shape)
        tips = torch.einsum("tcs,bs->btc", self._tips, shape)
        bent = mano_pose[:, 1:] - torch.eye(3, dtype=mano_pose.dtype, device=mano_pose.device)
        tips = tips + (bent.flatten(1) @ self._tip_pose).unflatten(1, (5, 3))
        turns, places = _along_fingers(mano_pose, rest)
        shifts = places - (turns @ rest[..., None])[..., 0]
        skin = torch.einsum("tj,bjrc->btrc", self._tip_weights, turns)
        tips = (skin @ tips[..., None])[..., 0] + self._tip_weights @ shifts
        return torch.cat([places, tips], dim=1)[:, self._order]


def _along_fingers(
    mano_pose: Float[Tensor, "batch 16 3 3"], rest: Float[Tensor, "batch 16 3"]
) -> tuple[Float[Tensor, "batch 16 3 3"], Float[Tensor, "batch 16 3"]]:
    """Each joint's rotation and place in space: MANO's joints are the wrist and 5 chains of 3."""
    local, still = mano_pose[:, 1:].unflatten(1, (5, 3)), rest[:, 1:].unflatten(1, (5, 3))
    turn, place, above = mano_pose[:, None, 0], rest[:, None, 0], rest[:, None, 0]
    turns, places = [], []
    for level in range(3):
        place = place + (turn @ (still[:, :, level] - above)[..., None])[..., 0]
        turn = turn @ local[:, :, level]
        above = still[:, :, level]
        turns.append(turn)
        places.append(place)
    return (
        torch.cat([mano_pose[:, :1], torch.stack(turns, dim=2).flatten(1, 2)], dim=1),
        torch.cat([rest[:, :1], torch.stack(places, dim=2).flatten(1, 2)], dim=1),
    )
