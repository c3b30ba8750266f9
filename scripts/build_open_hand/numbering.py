"""Number the 778 vertices so that code which knows MANO's tips and wrist ring finds them."""

import numpy as np
from jaxtyping import Float, Int

from scripts.build_open_hand.cut import boundary_edges, boundary_loop
from scripts.build_open_hand.layout import (
    INDEX,
    MIDDLE,
    NUM_VERTICES,
    PINKY,
    RING,
    THUMB,
    TIP_ALTERNATIVES,
    TIP_VERTEX,
    WRIST_RING,
    joints_of,
)

BLOCKS = (INDEX, MIDDLE, RING, PINKY, THUMB)
"""After the palm, the remaining numbers are given finger by finger in this order."""


def number_vertices(
    vertices: Float[np.ndarray, "778 3"],
    triangles: Int[np.ndarray, "1538 3"],
    weights: Float[np.ndarray, "778 16"],
    tips: list[int],
) -> Int[np.ndarray, " 778"]:
    """For each new number, the old one.

    Fixed are the five tips, their alternatives (on the vertices nearest to each tip) and the wrist
    ring; all other numbers are our own, so tables of MANO's other vertices do not apply.
    """
    old_of: dict[int, int] = {TIP_VERTEX[finger]: tip for finger, tip in enumerate(tips)}
    old_of |= _wrist_ring(vertices, triangles)
    taken = set(old_of.values())
    for finger, tip in enumerate(tips):
        distances = np.linalg.norm(vertices - vertices[tip], axis=1)
        nearest = (int(old) for old in np.argsort(distances) if int(old) not in taken)
        for number, old in zip(TIP_ALTERNATIVES[finger], list(nearest)):
            old_of[number] = old
            taken.add(old)
    block = _blocks(weights)
    rest = (int(old) for old in np.lexsort((vertices[:, 0], block)) if int(old) not in taken)
    for number in range(NUM_VERTICES):
        if number not in old_of:
            old_of[number] = next(rest)
    return np.array([old_of[number] for number in range(NUM_VERTICES)])


def _wrist_ring(
    vertices: Float[np.ndarray, "778 3"], triangles: Int[np.ndarray, "1538 3"]
) -> dict[int, int]:
    """Old numbers of the wrist ring, from its vertex nearest to the thumb's side."""
    rim = [edge[0] for edge in boundary_edges(triangles.tolist())]
    start = max(rim, key=lambda vertex: vertices[vertex, 2])
    loop = boundary_loop(triangles.tolist(), start)
    return dict(zip(WRIST_RING, reversed(loop), strict=True))


def _blocks(weights: Float[np.ndarray, "778 16"]) -> Int[np.ndarray, " 778"]:
    """0 for the palm, then 1 to 5 in the order of `BLOCKS`, by the strongest joint."""
    block_of_joint = np.zeros(weights.shape[1], dtype=int)
    for block, finger in enumerate(BLOCKS, start=1):
        block_of_joint[joints_of(finger)] = block
    return block_of_joint[weights.argmax(axis=1)]
