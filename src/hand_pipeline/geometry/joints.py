"""Names and orders of the 21 hand joints.

Inside the project joints are always in OpenPose's order: wrist, then thumb, index, middle, ring
and pinky, each from its base to its tip. `permutation` converts from and to the data sets' orders.
"""

from types import MappingProxyType

FINGER_NAMES = ("thumb", "index", "middle", "ring", "pinky")

OPENPOSE: tuple[str, ...] = (
    "wrist",
    *(f"{finger}_{i}" for finger in FINGER_NAMES for i in (1, 2, 3, 4)),
)

_MANO = (
    "wrist",
    *(
        f"{finger}_{i}"
        for finger in ("index", "middle", "pinky", "ring", "thumb")
        for i in (1, 2, 3)
    ),
    *(f"{finger}_4" for finger in FINGER_NAMES),
)
_TIPS_FIRST = tuple(f"{finger}_{i}" for finger in FINGER_NAMES for i in (4, 3, 2, 1))

ORDERS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "openpose": OPENPOSE,
        "freihand": OPENPOSE,
        "dexycb": OPENPOSE,
        "coco_wholebody": OPENPOSE,
        "halpe": OPENPOSE,
        "mtc": OPENPOSE,
        "hint": OPENPOSE,
        "mediapipe": OPENPOSE,
        "mano": _MANO,
        "ho3d": _MANO,
        "h2o3d": _MANO,
        "interhand": (*_TIPS_FIRST, "wrist"),
        "rhd": ("wrist", *_TIPS_FIRST),
    }
)
"""Order of one hand's joints by data set. InterHand and RHD store two hands of 21; cut first."""

FINGERS: MappingProxyType[str, tuple[int, int, int, int]] = MappingProxyType(
    {name: (4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * i + 4) for i, name in enumerate(FINGER_NAMES)}
)
"""Joints of each finger, base to tip, OpenPose order."""

BONES: tuple[tuple[int, int], ...] = tuple((0 if i % 4 == 1 else i - 1, i) for i in range(1, 21))
"""(parent, child) of the 20 bones, OpenPose order; bone i ends at joint i + 1."""

TIPS: tuple[int, ...] = (4, 8, 12, 16, 20)
"""Finger tips, thumb to pinky, OpenPose order."""

MANO_JOINTS: tuple[str, ...] = _MANO[:16]
"""The joints that MANO rotates, in MANO's order: wrist, index, middle, pinky, ring, thumb."""

MANO_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of `MANO_JOINTS`; -1 for the wrist."""


def permutation(source: str, target: str) -> tuple[int, ...]:
    """Indices that reorder joints: `x_target = x_source[list(permutation)]`.

    Args:
        source: order the joints are in, a key of `ORDERS`.
        target: order the joints shall have, a key of `ORDERS`.

    Raises:
        ValueError: a name is unknown.
    """
    for name in (source, target):
        if name not in ORDERS:
            raise ValueError(f"unknown joint order {name!r}; known: {', '.join(ORDERS)}")
    positions = {joint: i for i, joint in enumerate(ORDERS[source])}
    return tuple(positions[joint] for joint in ORDERS[target])
