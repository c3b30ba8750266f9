"""How wrong each joint of a predicted hand is expected to be."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.joints import OPENPOSE
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.methods.maskhand.agreement import SCALE
from hand_pipeline.methods.maskhand.context_synthesizer import Context

_READING = 6  # numbers a joint: place in space and in the image, confidence of its tokens
_REACH = 0.1  # metres: about the size of a hand


class JointErrorHead(nn.Module):
    """A small network that reads a hand, its image and its 2D joints, and gives the joints' errors.

    Deviation: the paper has no such head. Nothing of what it reads is changed by it.

    Args:
        width: of the context's maps and 2D pose tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.joint = nn.Parameter(torch.randn(len(OPENPOSE), width) * 0.02)
        self.layers = nn.Sequential(
            nn.Linear(2 * width + _READING, width), nn.GELU(),
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1),
        )  # fmt: skip

    def forward(
        self,
        context: Context,
        joints: Float[Tensor, "hands 21 3"],
        joints_2d: Float[Tensor, "hands 21 2"],
        confidence: Float[Tensor, "hands 21"],
    ) -> Float[Tensor, "hands 21"]:
        """Expected distance of each joint from the truth after alignment, metres.

        Args:
            context: of the images; successive hands are of one image.
            joints: metres.
            joints_2d: -1 to 1 over the image.
            confidence: of the tokens that move each joint, 0 to 1.
        """
        finest = context.values[-1][-1].detach().flatten(1, 2)
        places = joints_2d.detach().reshape(len(finest), -1, 1, 2).to(finest)
        found = F.grid_sample(finest, places, align_corners=False)[..., 0].mT
        tokens = self.joint.expand(len(joints), -1, -1)
        if context.pose is not None:
            images = len(context.pose)
            tokens = tokens + context.pose.detach().repeat_interleave(len(joints) // images, 0)
        reading = [
            found.reshape(len(joints), len(OPENPOSE), -1), tokens,
            (joints - joints[:, :1]).detach() / _REACH, joints_2d.detach(),
            confidence.detach().clamp(min=1e-6).log()[..., None],
        ]  # fmt: skip
        return _metres(self.layers(torch.cat(reading, dim=-1))[..., 0])


@full_precision
def _metres(logarithm: Tensor) -> Tensor:
    return SCALE * logarithm.exp()


@full_precision
def joint_error_loss(
    expected: Float[Tensor, "hands 21"],
    joints: Float[Tensor, "hands 21 3"],
    truth: Float[Tensor, "hands 21 3"],
    labelled: Bool[Tensor, " hands"],
) -> Float[Tensor, ""]:
    """Mean of log m + e / m, with m the expected and e the true error in units of `SCALE`.

    That is the negative log likelihood of an exponential distribution, whose minimum is the mean of
    the errors that look alike to the head: m = E[e].

    Args:
        expected: metres.
        joints: predicted, metres.
        truth: labelled, metres; e is what is left after a similarity (PA-MPJPE).
        labelled: hands with labels of all joints; the others may hold anything finite.
    """
    error = (procrustes_align(joints, truth, False) - truth).norm(dim=-1).detach()
    return masked_mean((expected / SCALE).log() + error / expected, labelled)


def confidence_of(expected: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Confidence of a joint with that expected error, 0 to 1: as `agreement` of that distance."""
    return torch.exp(-expected / SCALE)
