"""MANO's joints without its mesh: the same numbers as `ManoHand`'s at a fraction of the work."""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import TIP_VERTICES, ManoHand
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.skinning import pose_bones, pose_feature, skin


class ManoJoints:
    """Poses the 21 joints of a hand model; differentiable, batched.

    Only the 5 tips are skinned: for what needs joints alone hundreds of times
    (`geometry.hand_fit`).

    Args:
        mano: the hand model; its device and type are used.
    """

    def __init__(self, mano: ManoHand) -> None:
        tips = list(TIP_VERTICES[mano.tips])
        self._rest_joints = mano.rest_joints
        self._tips = torch.cat([mano.template[tips, :, None], mano.shapedirs[tips]], dim=-1)
        self._tip_pose = mano.posedirs.unflatten(1, (-1, 3))[:, tips].flatten(1)
        self._tip_weights = mano.skinning_weights[tips]
        self._order = list(permutation("mano", "openpose"))

    @full_precision
    def __call__(
        self, mano_pose: Float[Tensor, "batch 16 3 3"], betas: Float[Tensor, "batch 10"]
    ) -> Float[Tensor, "batch 21 3"]:
        """`ManoHand.forward(mano_pose, betas).joints`: metres, OpenPose order."""
        shape = torch.cat([torch.ones_like(betas[:, :1]), betas], dim=1)
        rest = self._rest_joints(betas)
        tips = torch.einsum("tcs,bs->btc", self._tips, shape)
        tips = tips + (pose_feature(mano_pose) @ self._tip_pose).unflatten(1, (5, 3))
        bones = pose_bones(mano_pose, rest)
        tips = skin(tips, rest, bones, self._tip_weights)
        return torch.cat([bones.places, tips], dim=1)[:, self._order]
