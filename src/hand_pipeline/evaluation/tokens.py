"""What is lost when hand poses become tokens, and how the codes are used."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hand_pipeline.data.batch import PoseBatch
from hand_pipeline.evaluation.joint_error import MM_PER_METRE, joint_errors, mesh_errors
from hand_pipeline.evaluation.metrics import check_finite
from hand_pipeline.geometry.mano import ManoHand


@runtime_checkable
class Tokenizer(Protocol):
    """What turns poses into ids and back: `methods.maskhand.pose_tokenizer.PoseTokenizer`."""

    @property
    def num_codes(self) -> int:
        """Values a token can have."""
        ...

    def tokenize(self, mano_pose: Float[Tensor, "batch 16 3 3"]) -> Int[Tensor, "batch tokens"]:
        """Ids of a pose."""
        ...

    def unquantized(
        self, mano_pose: Float[Tensor, "batch 16 3 3"]
    ) -> Float[Tensor, "batch 16 3 3"]:
        """A pose after encoder and decoder, with its latents as they are."""
        ...

    def detokenize(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch 16 3 3"]:
        """The pose of ids."""
        ...


class TokenScores(NamedTuple):
    """The outcome.

    Attributes:
        summary: means of `per_sample` (mm), also with the prefix `unquantized_`: what encoder and
            decoder lose alone, the floor of these networks; `codes_used`, the share of codes that
            occur at all; `perplexity` of their use; `num_samples`.
        per_sample: one row a hand: id and errors, mm.
        uses: how often each code occurs.
    """

    summary: dict[str, float]
    per_sample: pd.DataFrame
    uses: Int[np.ndarray, " codes"]


@torch.no_grad()
def score_tokens(tokenizer: Tokenizer, mano: ManoHand, batches: Iterable[PoseBatch]) -> TokenScores:
    """Tokenise and rebuild poses, and measure the hands' joints and vertices.

    MaskHand (arXiv 2412.13393), the supplement's tables of the tokenizer: PA-MPJPE and PA-MPVPE of
    FreiHAND's poses after VQ-MANO, with the true shape. Errors relative to the wrist beside them
    also count the hand's orientation.

    Args:
        tokenizer: in evaluation mode.
        mano: the hand model of the poses.
        batches: poses and shapes, on the device of both.

    Raises:
        ValueError: no poses.
    """
    tables, uses = [], np.zeros(tokenizer.num_codes, dtype=np.int64)
    for batch in batches:
        ids = tokenizer.tokenize(batch.mano_pose)
        means = _errors(tokenizer.detokenize(ids), batch, mano)
        floor = _errors(tokenizer.unquantized(batch.mano_pose), batch, mano)
        means |= {f"unquantized_{name}": values for name, values in floor.items()}
        tables.append(pd.DataFrame({"id": batch.ids, **means}))
        uses += np.bincount(ids.flatten().cpu().numpy(), minlength=len(uses))
    if not tables:
        raise ValueError("expected poses to score, got none")
    per_sample = pd.concat(tables, ignore_index=True)
    summary = {key: float(per_sample[key].mean()) for key in per_sample.columns if key != "id"}
    share = uses[uses > 0] / uses.sum()
    summary["codes_used"] = float((uses > 0).mean())
    summary["perplexity"] = float(np.exp(-(share * np.log(share)).sum()))
    summary["num_samples"] = float(len(per_sample))
    return TokenScores(summary, per_sample, uses)


def _errors(pose: Tensor, batch: PoseBatch, mano: ManoHand) -> dict[str, np.ndarray]:
    """Means over a hand's joints and vertices, mm."""
    found, truth = mano(pose, batch.betas), mano(batch.mano_pose, batch.betas)
    vertices, joints, true_vertices, true_joints = (
        x.cpu().double().numpy() for x in (*found, *truth)
    )
    check_finite({"joints after the tokens": joints}, batch.ids)
    errors = joint_errors(joints, true_joints)
    mesh = mesh_errors(vertices, true_vertices, joints[:, 0], true_joints[:, 0])
    errors |= mesh.errors
    names = ("pa_mpjpe", "pa_mpvpe", "rr_mpjpe", "rr_mpvpe")
    return {f"{name}_mm": errors[name].mean(1) * MM_PER_METRE for name in names}
