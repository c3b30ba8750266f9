"""Two augmented views of a batch: ours on the whole batch against PIL, image by image.

The reference is iBOT's route with HandMIM's list: torchvision's transforms on PIL images
(RandomResizedCrop bicubic, RandomRotation, ColorJitter, RandomGrayscale, PIL's GaussianBlur,
solarize, ToTensor, Normalize), in as many worker processes as we use threads. A second reference
crops and turns in one PIL affine transform, as we do. With --kornia also kornia's batched
operations on our warps: why the colours are our own.

    PYTHONPATH=src python benchmarks/augmentation.py [--cores 2] [--batch 64] [--kornia]
"""

import argparse
import math
import multiprocessing
import random
import time
from collections.abc import Callable

import torch
from PIL import Image, ImageFilter

from hand_pipeline.data.colour import IMAGENET_MEAN, IMAGENET_STD
from hand_pipeline.data.views import ViewConfig, ViewSampler
from hand_pipeline.models.torchvision_compat import ensure_torchvision

ensure_torchvision()
from torchvision import transforms  # noqa: E402 (torchvision must be mended first)

CONFIG = ViewConfig()
COLOUR = transforms.Compose(
    [
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        transforms.RandomGrayscale(0.2),
    ]
)
RESIZED_CROP_AND_ROTATION = transforms.Compose(
    [
        transforms.RandomResizedCrop(
            CONFIG.image_size, CONFIG.scale, CONFIG.aspect, transforms.InterpolationMode.BICUBIC
        ),
        transforms.RandomRotation(CONFIG.rotation, transforms.InterpolationMode.BILINEAR),
    ]
)
FINISH = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
)


def warp_with_pil(photo: Image.Image, side: int) -> Image.Image:
    """A crop of random area, resized and turned about its centre, in one transform."""
    crop = math.sqrt(random.uniform(*CONFIG.scale)) * photo.width
    left, top = (random.uniform(0, photo.width - crop) for _ in range(2))
    angle, scale = math.radians(random.uniform(*CONFIG.rotation)), crop / side
    a, b = math.cos(angle) * scale, math.sin(angle) * scale
    half = side / 2
    inverse = (
        *(a, b, left + crop / 2 - a * half - b * half),
        *(-b, a, top + crop / 2 + b * half - a * half),
    )
    return photo.transform((side, side), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)


def views_with_pil(photo: Image.Image, one_affine: bool) -> torch.Tensor:
    views = []
    for view in range(2):
        if one_affine:
            image = COLOUR(warp_with_pil(photo, CONFIG.image_size))
        else:
            image = COLOUR(RESIZED_CROP_AND_ROTATION(photo))
        if random.random() < CONFIG.blur_probability[view]:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(*CONFIG.blur_sigma)))
        if random.random() < CONFIG.solarize_probability[view]:
            image = transforms.functional.solarize(image, 128)
        views.append(FINISH(image))
    return torch.stack(views)


def _pil_worker(arguments: tuple[int, int, bool]) -> float:
    """Seconds this process needs for its share; the photos are made, not sent."""
    count, seed, one_affine = arguments
    torch.set_num_threads(1)
    random.seed(seed)
    torch.manual_seed(seed)
    photos = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in make_photos(count)]
    views_with_pil(photos[0], one_affine)
    start = time.perf_counter()
    for photo in photos:
        views_with_pil(photo, one_affine)
    return time.perf_counter() - start


def make_photos(count: int) -> torch.Tensor:
    noise = torch.rand(count, 3, 16, 16) * 255
    return torch.nn.functional.interpolate(noise, size=(256, 256), mode="bilinear").byte()


def kornia_views(photos: torch.Tensor, sampler: ViewSampler) -> None:
    """The same warps with kornia's colour operations (per-image numbers where it has them)."""
    import kornia.augmentation as augmentation

    plain = ViewSampler(
        CONFIG.model_copy(
            update={
                "jitter_probability": 0.0,
                "gray_probability": 0.0,
                "blur_probability": (0.0, 0.0),
                "solarize_probability": (0.0, 0.0),
            }
        )
    )
    views = plain(photos).images
    for view in range(2):
        steps = [
            augmentation.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
            augmentation.RandomGrayscale(p=0.2),
            augmentation.RandomGaussianBlur((13, 13), (0.1, 2.0), p=CONFIG.blur_probability[view]),
        ]
        if CONFIG.solarize_probability[view]:
            steps.append(augmentation.RandomSolarize(0.0, 0.0, p=0.2))
        augmentation.AugmentationSequential(*steps)(views[view].sigmoid())


def best(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kornia", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.cores)
    photos, sampler = make_photos(arguments.batch).to(arguments.device), ViewSampler(CONFIG)

    def ours() -> None:
        sampler(photos)
        if arguments.device != "cpu":
            torch.cuda.synchronize()

    ours_rate = arguments.batch / best(ours, arguments.repeats)
    print(f"photos a second, two 224 px views each, {arguments.cores} cores, {arguments.device}")
    print(f"  ours, whole batch               {ours_rate:8.1f}")
    for name, one_affine in (("PIL, torchvision's transforms", False), ("PIL, one affine", True)):
        jobs = [(arguments.batch, seed, one_affine) for seed in range(arguments.cores)]
        with multiprocessing.get_context("spawn").Pool(arguments.cores) as pool:
            seconds = max(pool.map(_pil_worker, jobs, chunksize=1))
        rate = arguments.batch * arguments.cores / seconds
        print(f"  {name:32s}{rate:8.1f}   ratio {ours_rate / rate:.2f} (wanted: 3)")
    if arguments.kornia:
        rate = arguments.batch / best(lambda: kornia_views(photos, sampler), arguments.repeats)
        print(f"  our warps, kornia's colours     {rate:8.1f}   ratio {ours_rate / rate:.2f}")


if __name__ == "__main__":
    main()
