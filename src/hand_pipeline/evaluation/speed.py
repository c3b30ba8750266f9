"""How fast a model makes hands of images."""

import statistics
import time

import torch
from torch import Tensor

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.evaluation.predict import Predict


def seconds_a_batch(
    predict: Predict,
    image_size: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    repeats: int = 10,
    warmup: int = 2,
) -> float:
    """Median seconds that `predict` takes for a batch that already lies on the device.

    Args:
        predict: of a model in eval mode on `device`.
        image_size: side of the uint8 images, px.
        batch_size: images at once.
        device: of the model; a GPU is waited for before the clock is read.
        repeats: timed calls.
        warmup: calls before, which are not timed.

    Raises:
        ValueError: no repeats.
    """
    if repeats < 1:
        raise ValueError(f"expected at least one repeat, got {repeats}")
    generator = torch.Generator().manual_seed(0)
    size = (batch_size, 3, image_size, image_size)
    images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator).to(device)
    camera = torch.tensor([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1 / image_size]]) * image_size
    cameras = camera.repeat(batch_size, 1, 1).to(device)
    batch = HandBatch.unlabelled(tuple(map(str, range(batch_size))), images, cameras)
    seconds = []
    with torch.inference_mode():
        for number in range(warmup + repeats):
            _wait(images)
            started = time.perf_counter()
            predict(batch)
            _wait(images)
            if number >= warmup:
                seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
