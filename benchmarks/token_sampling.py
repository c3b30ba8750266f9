"""What iterations and hypotheses of MaskHand's sampling cost over one pass for one hand.

    PYTHONPATH=src python benchmarks/token_sampling.py [--encoders vit_huge_patch14_224]
        [--batches 1 32] [--hypotheses 100] [--device cuda]

Times go from the image to hands with their confidence, as `predict` ships, with untrained networks:
encoder, maps, value projections, 2D pose, head, T passes, the tokenizer's decoder and MANO for each
hand, and the witnesses of `agreement` (16 one-pass hands a photo). Goals: T = 5 at most 1.15 times
T = 1 (the paper: 3 times), 100 hypotheses of one photo at most 4 times one. Both get easier with
the encoder's size, since an iteration does not grow with it; the paper's is ViT-H.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

from hand_pipeline.methods.maskhand.agreement import agreement
from hand_pipeline.methods.maskhand.config import MaskHandConfig, PoseTokenizerConfig
from hand_pipeline.methods.maskhand.network import MaskHandNetwork
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.models.vit import VitConfig

ENCODERS = ("vit_small_patch16_224", "vit_base_patch16_224")
GOAL_ITERATIONS, GOAL_HYPOTHESES = 1.15, 4.0


class Sampler:
    """MaskHand from the image to hands and their confidence, in its default configuration."""

    def __init__(self, vit: VitConfig, device: str) -> None:
        cfg = MaskHandConfig(tokenizer=PoseTokenizerConfig())
        self.device, self.side = device, vit.image_size
        self.network = MaskHandNetwork(cfg, vit).to(device).eval()

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, cfg: SamplingConfig) -> torch.Tensor:
        batch, network = len(images), self.network
        camera = torch.diag(torch.tensor([2.0 * self.side, 2.0 * self.side, 1.0]))
        camera[:2, 2] = self.side / 2
        cameras = camera.to(self.device).expand(batch, 3, 3)
        keypoints = torch.zeros(batch, 21, 2, device=self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            encoded = network.encode_input(images, cameras, keypoints)
            found, hand = network.draw(encoded, batch, cfg, None)
            joints = hand.joints.unflatten(0, found.ids.shape[:2])
            return agreement(joints, network.witnesses(encoded, batch, None)).hands


def fastest(
    functions: list[Callable[[], object]], repeats: int, device: str, clock: Callable[[], float]
) -> list[float]:
    """Least seconds of each, measured in turns so that a busy moment hits all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, taken in zip(functions, times):
            start = clock()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first turn warms up
                taken.append(clock() - start)
    return [min(taken) for taken in times]


def verdict(ratio: float, goal: float) -> str:
    return f"{ratio:5.2f} (goal {goal:g}: {'met' if ratio <= goal else 'missed'})"


def compare(encoder: str, given: argparse.Namespace) -> None:
    """Print what iterations and hypotheses cost behind one encoder."""
    torch.manual_seed(0)
    vit = VitConfig(name=encoder, image_size=given.image_size, patch_size=given.patch_size)
    sampler = Sampler(vit, given.device)
    print(f"MaskHand sampling, {encoder}, {given.device}, {given.threads} threads", flush=True)

    def timed(batch: int, *configs: SamplingConfig) -> list[float]:
        shape = (batch, 3, given.image_size, given.image_size)
        images = torch.randn(shape, device=given.device)
        runs: list[Callable[[], object]] = [partial(sampler, images, c) for c in configs]
        clock = time.process_time if given.processor_time else time.perf_counter
        return fastest(runs, given.repeats, given.device, clock)

    for batch in given.batches:
        one, five = timed(batch, SamplingConfig(iterations=1), SamplingConfig(iterations=5))
        print(
            f"  batch {batch:3d}: T=1 {one * 1e3:8.1f} ms, T=5 {five * 1e3:8.1f} ms, "
            f"ratio {verdict(five / one, GOAL_ITERATIONS)}",
            flush=True,
        )
    if given.hypotheses:
        counts = (1, given.hypotheses)
        configs = [SamplingConfig(temperature=1.0, hypotheses=count) for count in counts]
        one, many = timed(1, *configs)
        print(
            f"  T=5, 1 hypothesis {one * 1e3:8.1f} ms, {given.hypotheses} {many * 1e3:8.1f} ms, "
            f"ratio {verdict(many / one, GOAL_HYPOTHESES)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), help="timm's names")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--patch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--hypotheses", type=int, default=100, help="0: leave them out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--processor-time", action="store_true", help="not the clock's: for a busy machine, no GPU"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for encoder in given.encoders:
        compare(encoder, given)


if __name__ == "__main__":
    main()
