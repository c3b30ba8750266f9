"""HandMIM's training step with its heads on hidden patches only, against heads on all patches.

    PYTHONPATH=src python benchmarks/masked_heads.py [--preset small|vit_s] [--device cuda]

`small` is the embedded default's size; `vit_s` is ViT-S/16 at 224 px with iBOT's head.
"""

import argparse
import time

import torch

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.self_distillation.config import HandMIMConfig
from hand_pipeline.methods.self_distillation.handmim import HandMIM
from hand_pipeline.models.vit import VitConfig

PRESETS = {
    "small": (VitConfig(name="vit_tiny_patch16_224", image_size=96, depth=6), 512, 64, 128, 32),
    "vit_s": (VitConfig(), 2048, 256, 256, 8),
}
"""Backbone, hidden width of the head, width of the decoder, side of a photo, batch."""


def seconds_a_step(tokens: str, preset: str, device: str, batch_size: int, repeats: int) -> float:
    vit, hidden, width, side, batch = PRESETS[preset]
    torch.manual_seed(0)
    cfg = HandMIMConfig(patch_tokens=tokens, head_hidden_dim=hidden, decoder_width=width)
    method = HandMIM(cfg, vit, ViewConfig(image_size=vit.image_size)).to(device)
    optimizer = torch.optim.AdamW(method.param_groups(), lr=1e-4)
    count = batch_size or batch
    photos = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, device=device)
    photos_batch = ImageBatch(("photo",) * count, photos)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            terms = method.losses(photos_batch, 0)
        torch.stack([term.float() for term in terms.values()]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(0)
        if device == "cuda":
            torch.cuda.synchronize()

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=0, help="photos; 0: the preset's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    masked, every = (
        seconds_a_step(tokens, given.preset, given.device, given.batch, given.repeats)
        for tokens in ("masked", "all")
    )
    print(f"HandMIM training step, {given.preset}, {given.device}, {given.threads} threads")
    print(f"  heads on hidden patches {masked * 1e3:8.1f} ms")
    print(f"  heads on all patches    {every * 1e3:8.1f} ms   ratio {every / masked:.2f}")


if __name__ == "__main__":
    main()
