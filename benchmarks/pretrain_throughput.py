"""Images a second of HandMIM pretraining, fed from shards through the real loader and loop.

Prints images a second, milliseconds a step, the share of the device's peak arithmetic and the peak
memory. The arithmetic of a step is counted by torch (matrix products, convolutions, attention; the
views are not counted); the peak of a CPU is what its fastest matrix product reaches.

    PYTHONPATH=src python benchmarks/pretrain_throughput.py                        # small, CPU
    PYTHONPATH=src python benchmarks/pretrain_throughput.py --preset vit_s --batch 1024 \
        --workers 14 --compile --steps 60                                          # one GPU

The paper's 12 hours for 400 epochs of 221,602 images are 2,052 images a second.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.loader import batches_from
from hand_pipeline.data.shards.crops import CropDataset
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.self_distillation.config import HandMIMConfig
from hand_pipeline.methods.self_distillation.handmim import HandMIM
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.loop import TrainConfig, fit

PRESETS = {
    "small": (
        VitConfig(name="vit_tiny_patch16_224", image_size=96, depth=6),
        HandMIMConfig(head_hidden_dim=512, decoder_width=64),
        128,
    ),
    "vit_s": (VitConfig(drop_path=0.1), HandMIMConfig(head_full_precision=False), 256),
}
"""Backbone, method, side of a crop."""

PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense operations a second, from NVIDIA's data sheets."""


def write_crops(folder: Path, count: int, side: int) -> None:
    """Smooth random pictures as JPEG: of about a photo's size in bytes."""
    generator = torch.Generator().manual_seed(0)
    with ShardWriter(folder) as writer:
        for index in range(count):
            noise = torch.rand(1, 3, 24, 24, generator=generator) * 255
            pixels = torch.nn.functional.interpolate(noise, (side, side), mode="bilinear")[0]
            buffer = io.BytesIO()
            picture = Image.fromarray(pixels.byte().permute(1, 2, 0).numpy())
            picture.save(buffer, "JPEG", quality=92)
            writer.add(f"{index:06d}", buffer.getvalue(), {})


def operations_a_photo(method: HandMIM, side: int) -> float:
    """Floating-point operations of a training step, forwards and backwards, for one photo."""
    device = next(method.parameters()).device
    photos = torch.zeros(8, 3, side, side, dtype=torch.uint8, device=device)
    with FlopCounterMode(display=False) as counter:
        terms = method.losses(ImageBatch(("photo",) * 8, photos), 0)
        torch.stack(list(terms.values())).sum().backward()
    method.zero_grad(set_to_none=True)
    return counter.get_total_flops() / 8


def peak_operations(device: torch.device) -> float:
    """Operations a second the device can do; NaN for a GPU whose data sheet is not listed."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for key, peak in PEAK_BF16.items() if key in name), float("nan"))
    side = 1024
    a, best = torch.rand(side, side), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="a quarter of them warm up")
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="recompute blocks")
    given = parser.parse_args()
    vit, cfg, side = PRESETS[given.preset]
    vit = vit.model_copy(update={"gradient_checkpointing": given.checkpointing})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = HandMIM(cfg, vit, ViewConfig(image_size=vit.image_size)).to(device)
    operations, peak = operations_a_photo(method, side), peak_operations(device)
    every = max(given.steps // 4, 1)
    train = TrainConfig(
        steps=given.steps,
        batch_size=given.batch,
        lr=1e-4,
        weight_decay=0.04,
        clip=3.0,
        precision="bf16-mixed" if device.type == "cuda" else "32-true",
        log_every=every,
        checkpoint_every=every,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder) / "crops", given.crops, side)
        crops = CropDataset(Path(folder) / "crops")
        batches = batches_from(
            crops,
            given.batch,
            seed=0,
            num_workers=given.workers,
            pin_memory=device.type == "cuda",
        )
        machine = MachineConfig(num_workers=given.workers, compile=given.compile)
        rates = [r.images_per_second for r in fit(method, batches, train, machine)][1:]
    rate = len(rates) / sum(1 / r for r in rates)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{given.preset}, batch {given.batch}, {name}, {torch.get_num_threads()} threads")
    print(f"  images a second      {rate:10.1f}   ({1e3 * given.batch / rate:.0f} ms a step)")
    print(f"  operations an image  {operations / 1e9:10.2f} G")
    print(f"  share of peak        {100 * rate * operations / peak:10.1f} %")
    if device.type == "cuda":
        print(f"  peak memory          {torch.cuda.max_memory_allocated() / 2**30:10.1f} GiB")
    else:
        import resource

        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"  peak memory          {peak_kb / 2**20:10.1f} GiB (whole process)")


if __name__ == "__main__":
    main()
