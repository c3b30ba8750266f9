"""Everyday gestures as angles of the joints, and what the joints can do.

A pose is 21 angles in degrees: index, middle, ring, pinky (mcp, pip, dip, spread), then the thumb
(root flexion, abduction and twist; mcp; ip). One sign convention: positive flexion curls a finger
to the palm; positive spread and abduction move it APART, index, ring and pinky away from the middle
finger and the thumb away from the index. The middle finger's spread is positive to the thumb. Zero
is the flat rest hand, whose fingers fan a little (on the open hand 10, 8 and 6 degrees). The thumb
extends by negative flexion.

Limits: our choice, within the ranges of Kapandji, The Physiology of the Joints, vol. 1 (side
movement of the index 30 degrees each way, of the others less; thumb and index metacarpals up to
about 60 degrees apart; the thumb's last joint bends back by up to 30).
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

FINGERS = ("index", "middle", "ring", "pinky")
SPREADS = (3, 7, 11, 15)
"""Where the spreads stand among the 21 angles."""

LOW = np.array([
    -22.0, -2, -6, -25, -22, -2, -6, -15, -22, -2, -6, -18, -22, -2, -6, -20,
    -45, -28, -10, -12, -25,
])  # fmt: skip
HIGH = np.array([
    92.0, 105, 70, 28, 92, 105, 70, 15, 92, 105, 70, 20, 92, 105, 70, 32,
    42, 28, 42, 55, 75,
])  # fmt: skip
"""Least and largest angles, degrees."""

TOGETHER = np.array([-12.0, 0, -8, -14])
WIDE = np.array([16.0, 0, 12, 22])
"""Spreads at which straight fingers touch each other, and at which they part as they easily do."""

# index | middle | ring | pinky (mcp, pip, dip, spread) | thumb, degrees. Where the thumb touches a
# finger, its angles were fitted on the open hand's finger pads.
_LIBRARY = {
    "open": "0 6 4 6 | 0 6 4 0 | 0 6 4 4 | 0 6 4 8 | -12 6 4 2 0",
    "spread": "-5 3 2 16 | -6 3 2 0 | -5 3 2 12 | -4 3 2 22 | -34 10 0 -6 -8",
    "flat": "2 4 2 -12 | 2 4 2 0 | 2 4 2 -8 | 2 4 2 -14 | -6 -14 8 4 2",
    "relaxed": "18 28 14 -3 | 24 32 16 0 | 28 34 17 -3 | 28 32 16 -4 | 2 2 12 12 10",
    "loose": "35 48 26 -3 | 40 52 28 0 | 44 54 28 -2 | 44 50 26 -4 | 14 2 16 18 18",
    "cup": "42 25 14 -10 | 46 26 15 0 | 46 27 15 -7 | 44 26 14 -12 | 16 6 14 10 6",
    "grasp": "40 55 32 3 | 45 58 34 0 | 48 58 34 2 | 48 56 32 4 | 14 12 20 14 16",
    "fist": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 11 7 26 25 44",
    "hook": "5 90 55 -8 | 6 92 56 0 | 6 92 56 -6 | 6 88 54 -9 | 6 0 12 12 10",
    "claw": "-12 60 35 10 | -12 62 36 0 | -10 62 36 7 | -8 58 34 14 | -14 12 10 20 35",
    "point": "0 4 3 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 20 4 20 35 40",
    "point_loose": "8 12 6 0 | 50 60 32 0 | 58 66 36 0 | 60 62 34 0 | 12 2 16 24 24",
    "victory": "0 4 3 13 | 0 4 3 -6 | 75 90 50 0 | 75 90 50 0 | 29 3 9 37 34",
    "three": "0 4 3 11 | 0 4 3 0 | 2 5 3 9 | 75 90 50 0 | 28 4 18 45 40",
    "four": "0 5 3 9 | 0 5 3 0 | 2 5 3 6 | 2 5 3 12 | 25 14 24 50 55",
    "six": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 2 4 3 14 | -40 8 0 -8 -12",
    "gun": "0 4 3 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | -38 8 0 -6 -10",
    "thumb_up": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | -43 6 0 -10 -18",
    "horns": "0 4 3 4 | 78 95 55 0 | 78 95 55 0 | 2 4 3 8 | 24 4 16 38 40",
    "crossed": "2 4 3 -23 | 26 14 6 11 | 78 95 55 0 | 78 95 55 0 | 20 11 18 44 45",
    "pinch": "45 50 25 -3 | 30 35 20 0 | 25 30 15 1 | 20 25 15 4 | 12 1 14 17 18",
    "ok": "49 50 28 -3 | 5 10 5 0 | 0 8 5 6 | -2 8 5 12 | 6 3 14 22 28",
    "pinch_middle": "10 15 5 5 | 56 52 27 0 | 25 30 15 1 | 20 25 15 4 | 23 -2 -1 22 22",
    "pinch_all": "50 45 20 -2 | 52 45 20 0 | 50 45 20 -2 | 45 45 20 -3 | 29 0 5 6 8",
    "tripod": "48 45 22 0 | 54 48 26 0 | 60 62 34 0 | 58 60 32 0 | 20 0 8 18 20",
    "key": "40 70 35 0 | 55 75 40 0 | 60 78 42 0 | 60 75 42 0 | 16 10 12 10 12",
}


def angles_of(text: str) -> Float[ndarray, "21"]:
    """A pose's angles, written as in this module's library."""
    return np.array([float(angle) for angle in text.replace("|", " ").split()])


GESTURES = {name: angles_of(text) for name, text in _LIBRARY.items()}
