import pytest

from hand_pipeline.geometry.joints import (
    BONES,
    FINGERS,
    MANO_JOINTS,
    MANO_PARENTS,
    OPENPOSE,
    ORDERS,
    TIPS,
    permutation,
)

# Worked out by hand from the data sets' documentation, not from `ORDERS`.
TABLE = {
    ("mano", "openpose"): "0 13 14 15 16 1 2 3 17 4 5 6 18 10 11 12 19 7 8 9 20",
    ("openpose", "mano"): "0 5 6 7 9 10 11 17 18 19 13 14 15 1 2 3 4 8 12 16 20",
    ("ho3d", "openpose"): "0 13 14 15 16 1 2 3 17 4 5 6 18 10 11 12 19 7 8 9 20",
    ("interhand", "openpose"): "20 3 2 1 0 7 6 5 4 11 10 9 8 15 14 13 12 19 18 17 16",
    ("openpose", "interhand"): "4 3 2 1 8 7 6 5 12 11 10 9 16 15 14 13 20 19 18 17 0",
    ("rhd", "openpose"): "0 4 3 2 1 8 7 6 5 12 11 10 9 16 15 14 13 20 19 18 17",
    ("openpose", "rhd"): "0 4 3 2 1 8 7 6 5 12 11 10 9 16 15 14 13 20 19 18 17",
    ("mano", "interhand"): "16 15 14 13 17 3 2 1 18 6 5 4 19 12 11 10 20 9 8 7 0",
    ("interhand", "mano"): "20 7 6 5 11 10 9 19 18 17 15 14 13 3 2 1 0 4 8 12 16",
    ("mano", "rhd"): "0 16 15 14 13 17 3 2 1 18 6 5 4 19 12 11 10 20 9 8 7",
    ("rhd", "mano"): "0 8 7 6 12 11 10 20 19 18 16 15 14 4 3 2 1 5 9 13 17",
    ("interhand", "rhd"): "20 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19",
    ("rhd", "interhand"): "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 0",
}


@pytest.mark.parametrize(("source", "target"), TABLE)
def test_permutation_is_the_documented_one(source: str, target: str) -> None:
    expected = tuple(int(word) for word in TABLE[source, target].split())
    assert permutation(source, target) == expected


@pytest.mark.parametrize("source", ORDERS)
@pytest.mark.parametrize("target", ORDERS)
def test_permutation_moves_names_and_back(source: str, target: str) -> None:
    there = [ORDERS[source][i] for i in permutation(source, target)]
    assert tuple(there) == ORDERS[target]
    assert tuple(there[i] for i in permutation(target, source)) == ORDERS[source]


@pytest.mark.parametrize("name", ["freihand", "dexycb", "coco_wholebody", "halpe", "mediapipe"])
def test_openpose_data_sets_keep_their_order(name: str) -> None:
    assert permutation(name, "openpose") == tuple(range(21))


def test_unknown_order_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown joint order 'nyu'; known: openpose"):
        permutation("nyu", "openpose")


def test_bones_run_from_the_wrist_to_every_tip() -> None:
    parent = {child: parent for parent, child in BONES}
    assert sorted(parent) == list(range(1, 21))
    for name, joints in FINGERS.items():
        tip = joints[3]
        assert tip in TIPS
        chain = [tip, parent[tip], parent[parent[tip]], parent[parent[parent[tip]]]]
        assert tuple(reversed(chain)) == joints
        assert parent[joints[0]] == 0
        assert [OPENPOSE[joint] for joint in joints] == [f"{name}_{i}" for i in (1, 2, 3, 4)]


def test_mano_parents_are_the_previous_joint_of_the_same_finger() -> None:
    for joint, parent in zip(MANO_JOINTS[1:], MANO_PARENTS[1:]):
        finger, number = joint.split("_")
        expected = "wrist" if number == "1" else f"{finger}_{int(number) - 1}"
        assert MANO_JOINTS[parent] == expected
