"""Where a synthetic hand is: a made-up place, or a real one's light and view."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from hand_pipeline.data.synthetic.background import made_up_background, photo_background
from hand_pipeline.data.synthetic.environment import (
    Environment,
    environment_background,
    environment_light,
    environment_names,
    load_environment,
    random_view,
)
from hand_pipeline.data.synthetic.light import Light, random_light

_SHOWN = 0.7  # share of real places that also stand behind the hand


class Surroundings(NamedTuple):
    """Light, and where it is from.

    Attributes:
        light: in the camera's frame.
        place: a real one; None: made up.
        view: camera to place.
    """

    light: Light
    place: Environment | None
    view: Float64[ndarray, "3 3"]


def random_surroundings(rng: np.random.Generator, environments: float) -> Surroundings:
    """Light of a real place for a share `environments` of images, else two made-up lamps."""
    if rng.random() >= environments:
        return Surroundings(random_light(rng), None, np.eye(3))
    place = load_environment(rng.choice(environment_names()))
    view = random_view(rng)
    return Surroundings(environment_light(place, view, rng), place, view)


def random_background(
    rng: np.random.Generator,
    surroundings: Surroundings,
    photos: list[Path] | None,
    size: tuple[int, int],
) -> Float32[ndarray, "h w 3"]:
    """A part of one of the photos, else of the real place, else made up; linear RGB, lit alike."""
    light, place, view = surroundings
    if not photos and place is not None and rng.random() < _SHOWN:
        return environment_background(place, view, size, rng)
    behind = photo_background(rng, photos, size) if photos else made_up_background(rng, size)
    return behind if place is None else behind * light.brightness().astype(np.float32)
