"""Error of VQ-MANO by the number of tokens and the codebook, each trained briefly on open hands.

Trains every size with the settings of `conf/base/parameters_tokenizer.yml` on poses drawn from the
open hand's sampler, scores it on drawn poses of another seed, and prints a row a size: what the
paper's supplement shows for real hands. No reproduction: other hands, other sizes, minutes.

    python -m scripts.tokenizer_table [--steps 300] [--tokens 16 32 64 128] [--codes 512x64]
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.pose_set import PoseSet, sample_poses
from hand_pipeline.evaluation.tokens import TokenScores, score_tokens
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.vq_mano import VqMano, VqManoConfig
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, train

SETTINGS = Path(__file__).parents[1] / "conf/base/parameters_tokenizer.yml"


def drawn_poses(count: int, seed: int) -> PoseSet:
    """Poses of the open hand's sampler."""
    return PoseSet({"drawn": sample_poses(count, seed, ManoHand())}, {"drawn": 1.0})


def train_and_score(
    cfg: VqManoConfig, training: TrainConfig, poses: PoseSet, held_out: PoseSet, accelerator: Any
) -> TokenScores:
    """One row of the table."""
    torch.manual_seed(training.seed)
    method = VqMano(cfg)
    machine = MachineConfig(accelerator=accelerator)
    train(TrainJob(f"{cfg.num_tokens} tokens", method, poses, poses.collate, training, machine))
    batches = batches_in_order(held_out, held_out.collate, 256)
    method.cpu().eval()
    return score_tokens(method.tokenizer, method.mano, batches)


def main() -> None:
    """Print the table."""
    settings = yaml.safe_load(SETTINGS.read_text())["tokenizer"]
    base, training = settings["vq_mano"], TrainConfig(**settings["training"])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--poses", type=int, default=settings["poses"]["synthetic_poses"])
    parser.add_argument("--held-out", type=int, default=2000)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--codes", nargs="+", default=[f"{base['num_codes']}x{base['code_dim']}"])
    parser.add_argument("--accelerator", default="cpu")
    args = parser.parse_args()
    training = training.model_copy(update={"steps": args.steps})
    poses, held_out = drawn_poses(args.poses, 0), drawn_poses(args.held_out, 1)
    print("tokens     codes  PA-MPJPE  PA-MPVPE  RR-MPJPE mm  codes used  perplexity  seconds")
    for tokens in args.tokens:
        for codes in args.codes:
            count, width = map(int, codes.split("x"))
            sizes = {"num_tokens": tokens, "num_codes": count, "code_dim": width}
            began = time.perf_counter()
            cfg = VqManoConfig(**base | sizes)
            found = train_and_score(cfg, training, poses, held_out, args.accelerator).summary
            print(
                f"{tokens:6} {codes:>9}  {found['pa_mpjpe_mm']:8.2f}  {found['pa_mpvpe_mm']:8.2f}  "
                f"{found['rr_mpjpe_mm']:11.2f}  {found['codes_used']:9.1%}  "
                f"{found['perplexity']:10.1f}  {time.perf_counter() - began:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
