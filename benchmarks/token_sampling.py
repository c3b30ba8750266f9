"""What iterations and hypotheses of MaskHand's sampling cost over one pass for one hand.

    PYTHONPATH=src python benchmarks/token_sampling.py [--encoder vit_base_patch16_224]
        [--batches 1 32] [--hypotheses 100] [--device cuda]

Times go from the image to the tokens, shape and camera, with untrained networks: encoder, maps,
value projections, 2D pose, head, T passes. What comes after (the tokenizer's decoder and MANO, once
a hand whatever T) is not timed. Goals: T = 5 at most 1.25 times T = 1 (the paper: 3 times), 100
hypotheses of one photo at most 3 times one.
"""

import argparse
import time
from collections.abc import Callable

import torch

from hand_pipeline.models.context_synthesizer import ContextSynthesizer, ContextSynthesizerConfig
from hand_pipeline.models.shape_camera_head import ShapeCameraHead, ShapeCameraHeadConfig
from hand_pipeline.models.token_sampling import SamplingConfig, sample_tokens
from hand_pipeline.models.vit import VisionTransformer, VitConfig, build_vit

TOKENS, CODES = 64, 2048
GOAL_ITERATIONS, GOAL_HYPOTHESES = 1.25, 3.0


class Sampler:
    """MaskHand from the image to its tokens."""

    def __init__(self, encoder: VisionTransformer, device: str) -> None:
        width = encoder.embed_dim
        self.device = device
        self.encoder = encoder.to(device).eval()
        self.head = ShapeCameraHead(ShapeCameraHeadConfig(), width).to(device).eval()
        network = ContextSynthesizer(ContextSynthesizerConfig(), TOKENS, CODES, width)
        self.network = network.to(device).eval()

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, cfg: SamplingConfig) -> torch.Tensor:
        batch = len(images)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            patches = self.encoder(images).patches
            self.head(patches)
            keypoints = torch.zeros(batch, 21, 2, device=self.device)
            context = self.network.encode_context(patches, keypoints)
            result = sample_tokens(
                lambda ids, positions: self.network(ids, context, positions),
                TOKENS, self.network.mask_id, batch, cfg, device=self.device,
            )  # fmt: skip
        return result.ids


def fastest(functions: list[Callable[[], object]], repeats: int, device: str) -> list[float]:
    """Least seconds of each, measured in turns so that a busy moment hits all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, taken in zip(functions, times):
            start = time.perf_counter()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first turn warms up
                taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def verdict(ratio: float, goal: float) -> str:
    return f"{ratio:5.2f} (goal {goal:g}: {'met' if ratio <= goal else 'missed'})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="vit_small_patch16_224", help="timm's name")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--patch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--hypotheses", type=int, default=100, help="0: leave them out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    vit = VitConfig(name=given.encoder, image_size=given.image_size, patch_size=given.patch_size)
    sampler = Sampler(build_vit(vit), given.device)
    side = given.image_size
    print(f"MaskHand sampling, {given.encoder}, {given.device}, {given.threads} threads")
    for batch in given.batches:
        images = torch.randn(batch, 3, side, side, device=given.device)
        one, five = fastest(
            [
                lambda i=images, t=t: sampler(i, SamplingConfig(iterations=t))  # type: ignore[misc]
                for t in (1, 5)
            ],
            given.repeats,
            given.device,
        )
        print(
            f"  batch {batch:3d}: T=1 {one * 1e3:8.1f} ms, T=5 {five * 1e3:8.1f} ms, "
            f"ratio {verdict(five / one, GOAL_ITERATIONS)}"
        )
    if given.hypotheses:
        image = torch.randn(1, 3, side, side, device=given.device)
        configs = [SamplingConfig(temperature=1.0, hypotheses=k) for k in (1, given.hypotheses)]
        one, many = fastest(
            [lambda c=c: sampler(image, c) for c in configs],  # type: ignore[misc]
            given.repeats,
            given.device,
        )
        print(
            f"  T=5, 1 hypothesis {one * 1e3:8.1f} ms, {given.hypotheses} {many * 1e3:8.1f} ms, "
            f"ratio {verdict(many / one, GOAL_HYPOTHESES)}"
        )


if __name__ == "__main__":
    main()
