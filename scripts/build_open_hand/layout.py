"""What makes a hand "MANO-shaped": counts, joint tree, fingertip vertices and the wrist ring.

These are facts about MANO's public interface (smplx 0.1.28's joint tree and tip table, and the
wrist ring that published renderers close). No number of MANO's own, licensed model is used.
"""

NUM_VERTICES = 778
NUM_FACES = 1538  # follows: a disk of V vertices with a ring of R has 2V - 2 - R triangles
NUM_JOINTS = 16
NUM_BETAS = 10

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

INDEX, MIDDLE, PINKY, RING, THUMB = range(5)
"""Fingers in MANO's joint order: joints 1 + 3 * finger to 3 + 3 * finger, from base to tip."""

MAKEHUMAN_FINGER = {INDEX: 2, MIDDLE: 3, PINKY: 5, RING: 4, THUMB: 1}

TIP_VERTEX = {THUMB: 744, INDEX: 320, MIDDLE: 443, RING: 554, PINKY: 671}

TIP_ALTERNATIVES = {
    THUMB: (745,),
    INDEX: (317, 333),
    MIDDLE: (444,),
    RING: (555, 556),
    PINKY: (672, 673),
}
"""Vertices that other data sets call the same tip; ours lie beside it."""

WRIST_RING = (92, 38, 122, 118, 117, 119, 120, 108, 79, 78, 121, 214, 215, 279, 239, 234)
"""The open boundary at the wrist, in the order in which renderers close it with a cap."""

WRIST_POSITION = (0.0957, 0.0064, 0.0062)
"""Where the wrist joint rests, metres; MANO's template has it about there."""


def joints_of(finger: int) -> range:
    """The three joints of a finger, base first."""
    return range(1 + 3 * finger, 4 + 3 * finger)
