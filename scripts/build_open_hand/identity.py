"""Bodies of different people: MakeHuman's morph targets, mixed by gender, age, build and origin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from jaxtyping import Float

from scripts.build_open_hand.arm import Arm

METRES_PER_DECIMETRE = 0.1
ORIGINS = ("african", "asian", "caucasian")  # the names of MakeHuman's own targets


@dataclass(frozen=True)
class Identity:
    """One person; every number is a position in [0, 1] on MakeHuman's slider, 0.5 its average.

    Attributes:
        gender: 0 female, 1 male.
        age: 0.1875 child, 0.5 young adult, 1 old.
        origin: shares of `ORIGINS`, adding to 1.
        hand: position in [-1, 1] of a target in targets/hands, by name.
    """

    gender: float = 0.5
    age: float = 0.5
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5
    origin: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    hand: Mapping[str, float] = field(default_factory=dict)


def sample_identity(generator: np.random.Generator) -> Identity:
    """An adult with a random build and slightly exaggerated hand proportions."""
    spread = {"fingers-diameter": 0.3, "fingers-length": 0.3, "scale": 0.1}
    hand = {name: float(np.clip(generator.normal(0, sd), -1, 1)) for name, sd in spread.items()}
    return Identity(
        gender=generator.uniform(),
        age=float(np.clip(generator.normal(0.55, 0.1), 0.42, 0.95)),
        muscle=generator.uniform(),
        weight=generator.uniform(0.1, 0.9),
        height=generator.uniform(0.2, 0.8),
        proportions=generator.uniform(0.2, 0.9),
        origin=tuple(generator.dirichlet([0.8] * 3)),
        hand=hand,
    )


def morph(arm: Arm, identity: Identity) -> Float[np.ndarray, "arm 3"]:
    """The arm of a person, in MakeHuman's frame, metres."""
    positions = arm.positions
    for name, weight in target_weights(identity):
        positions = positions + weight * arm.target(name)
    return positions * METRES_PER_DECIMETRE


def target_weights(identity: Identity) -> Iterator[tuple[str, float]]:
    """The morph targets that a person is made of, and how much of each."""
    genders = {"female": 1 - identity.gender, "male": identity.gender}
    for (gender, is_gender), (age, is_age) in product(genders.items(), _ages(identity.age).items()):
        if (share := is_gender * is_age) < 1e-6:
            continue
        for origin, is_origin in zip(ORIGINS, identity.origin):
            yield f"macrodetails/{origin}-{gender}-{age}", share * is_origin
        yield from _build_targets(identity, f"{gender}-{age}", share)
    for name, position in identity.hand.items():
        direction = "incr" if position > 0 else "decr"
        yield f"hands/r-hand-{name}-{direction}", abs(position)


def _build_targets(identity: Identity, person: str, share: float) -> Iterator[tuple[str, float]]:
    """Targets of muscle and weight, and of height and proportions that go with each of them."""
    muscles = _low_middle_high(identity.muscle, "minmuscle", "averagemuscle", "maxmuscle")
    weights = _low_middle_high(identity.weight, "minweight", "averageweight", "maxweight")
    heights = _low_middle_high(identity.height, "minheight", "", "maxheight")
    ideals = _low_middle_high(identity.proportions, "uncommonproportions", "", "idealproportions")
    for (muscle, is_muscle), (weight, is_weight) in product(muscles.items(), weights.items()):
        if (part := share * is_muscle * is_weight) < 1e-6:
            continue
        build = f"{person}-{muscle}-{weight}"
        yield f"macrodetails/universal-{build}", part
        for folder, choices in (("height", heights), ("proportions", ideals)):
            for choice, is_choice in choices.items():
                if choice and is_choice:
                    yield f"macrodetails/{folder}/{build}-{choice}", part * is_choice


def _ages(age: float) -> dict[str, float]:
    """Shares of MakeHuman's child, young and old bodies."""
    return {
        "child": max(0.0, 1 - (age - 0.1875) / 0.3125),
        "young": 1 - abs(age - 0.5) / (0.3125 if age < 0.5 else 0.5),
        "old": max(0.0, 2 * age - 1),
    }


def _low_middle_high(position: float, low: str, middle: str, high: str) -> dict[str, float]:
    """Shares of three bodies on one slider; the middle one peaks at 0.5."""
    return {
        low: max(0.0, 1 - 2 * position),
        middle: 1 - abs(2 * position - 1),
        high: max(0.0, 2 * position - 1),
    }
