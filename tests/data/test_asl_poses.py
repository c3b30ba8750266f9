"""The 26 letters as hands: what each finger does, which way the hand looks, files and photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.fixtures.asl_alphabet import write_asl_alphabet

from hand_pipeline.data.asl_poses import (
    ALIKE,
    AslPosesConfig,
    LetterPoses,
    LetterSet,
    draw_letters,
    letter_angles,
    letters_of,
    load_letters,
    save_letters,
)
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.asl_alphabet import LETTERS
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand

MANO = ManoHand()
EXACT = AslPosesConfig(samples=2, joint_std=0, wrist_std=0)
TIPS = {"thumb": 4, "index": 8, "middle": 12, "ring": 16, "pinky": 20}


@pytest.fixture(scope="module")
def joints() -> dict[str, np.ndarray]:
    """Of each letter as written, millimetres from the wrist, camera frame."""
    hands = draw_letters(EXACT, MANO)
    found = MANO(hands.mano_pose[::2], torch.zeros(26, 10)).joints
    placed = (found - found[:, :1]).numpy() * 1000
    return dict(zip(hands.letters[::2], placed))


def stretched(hand: np.ndarray) -> set[str]:
    """Fingers whose tip is farther from the wrist than their middle joint by 25 mm."""
    fingers = {name: tip for name, tip in TIPS.items() if name != "thumb"}
    reach = {n: np.linalg.norm(hand[t]) - np.linalg.norm(hand[t - 2]) for n, t in fingers.items()}
    return {name for name, value in reach.items() if value > 25}


@pytest.mark.parametrize(
    ("letters", "fingers"),
    [
        ("AEMNSTX", ""),
        ("B", "index middle ring pinky"),
        ("DGLQZ", "index"),
        ("F", "middle ring pinky"),
        ("HRUVKP", "index middle"),
        ("IJY", "pinky"),
        ("W", "index middle ring"),
    ],
)
def test_the_stretched_fingers_are_the_letters(joints, letters: str, fingers: str) -> None:
    for letter in letters:
        assert stretched(joints[letter]) == set(fingers.split()), letter


def test_fingers_part_cross_and_meet_as_they_should(joints) -> None:
    def apart(letter: str, first: str, second: str) -> float:
        return float(np.linalg.norm(joints[letter][TIPS[first]] - joints[letter][TIPS[second]]))

    assert apart("V", "index", "middle") > apart("U", "index", "middle") + 20
    # x grows towards the thumb: crossed fingers have changed sides
    assert joints["R"][8, 0] < joints["R"][12, 0] < joints["U"][8, 0]
    for letter, finger in (("F", "index"), ("D", "middle"), ("O", "index")):
        assert apart(letter, "thumb", finger) < 20, letter
    assert apart("C", "thumb", "index") > 35
    assert apart("L", "thumb", "index") > 90
    assert apart("Y", "thumb", "pinky") > 130


def test_hands_look_the_way_the_letters_do(joints) -> None:
    def along(letter: str) -> np.ndarray:
        bone = joints[letter][9]  # wrist to the middle finger's base
        return bone / np.linalg.norm(bone)

    for letter in "ABDEFIKLMNRSTUVWXYZ":
        assert along(letter)[1] < -0.9, letter  # up in the picture
        palm = np.cross(joints[letter][5], joints[letter][17])  # index and little finger's bases
        assert palm[2] < 0, letter  # to the viewer
    assert along("G")[0] > 0.9
    assert along("H")[0] > 0.9
    assert along("Q")[1] > 0.9
    assert along("P")[1] > 0.5


def test_no_two_letters_are_alike_but_those_named(joints) -> None:
    for first in LETTERS:
        for second in LETTERS[LETTERS.index(first) + 1 :]:
            distance = np.linalg.norm(joints[first] - joints[second], axis=1).mean()
            same = ALIKE.get(second) == first
            assert (distance == 0) if same else (distance > 3), (first, second, distance)


def test_a_sample_is_a_function_of_its_letter_and_number() -> None:
    few = draw_letters(AslPosesConfig(letters=("C", "A"), samples=3), MANO)
    many = draw_letters(AslPosesConfig(samples=5), MANO)
    torch.testing.assert_close(few.mano_pose[:3], many.mano_pose[10:13])
    assert few.ids[:3] == many.ids[10:13]
    other = draw_letters(AslPosesConfig(letters=("C", "A"), samples=3, seed=1), MANO)
    assert not torch.allclose(few.mano_pose, other.mano_pose, atol=1e-2)


def test_samples_vary_by_a_few_degrees_about_the_letter() -> None:
    hands = draw_letters(AslPosesConfig(letters=("B",), samples=200), MANO)
    exact = draw_letters(EXACT, MANO).mano_pose[2]
    cosine = ((hands.mano_pose * exact).sum((2, 3)) - 1) / 2
    degrees = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert 10 < degrees[:, 0].mean() < 16  # three axes of 8 degrees
    assert 1.5 < degrees[:, 1:].mean() < 5


def test_a_split_holds_out_the_last_of_each_letter() -> None:
    hands = draw_letters(AslPosesConfig(letters=("A", "B"), samples=4), MANO)
    train, held_out = hands.split(0.25)
    assert train.letters == ("A",) * 3 + ("B",) * 3
    assert held_out.ids == (hands.ids[3], hands.ids[7])
    torch.testing.assert_close(held_out.mano_pose, hands.mano_pose[[3, 7]])
    with pytest.raises(ValueError, match="cannot be split"):
        hands.select([0, 4]).split(0.5)


def test_hands_come_back_from_a_file(tmp_path: Path) -> None:
    hands = draw_letters(EXACT, MANO)
    save_letters(tmp_path / "hands.npz", hands)
    found = load_letters(tmp_path / "hands.npz")
    assert (found.ids, found.letters) == (hands.ids, hands.letters)
    assert torch.equal(found.mano_pose, hands.mano_pose)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(DataSetError, match="holds no poses of letters"):
        load_letters(tmp_path / "bad.npz")


def test_batches_number_the_prompts_as_the_model_does() -> None:
    hands = draw_letters(AslPosesConfig(letters=("A", "B"), samples=2), MANO)
    batch = LetterSet(hands, ("B", "A")).collate([0, 3])
    assert batch.prompts.tolist() == [1, 0]
    assert batch.ids == (hands.ids[0], hands.ids[3])
    with pytest.raises(ValueError, match="expected hands that show A, got B"):
        LetterSet(hands, ("A",))
    changed = LetterPoses(hands.ids, hands.letters, hands.mano_pose.flip(0))
    assert LetterSet(hands, ("A", "B")).fingerprint != LetterSet(changed, ("A", "B")).fingerprint


def test_photos_with_pseudo_labels_give_their_letters_and_poses(tmp_path: Path) -> None:
    write_asl_alphabet(tmp_path, "train", count=58)
    named = ["train/B2", "train/A1", "train/space1"]
    pose = np.random.default_rng(0).normal(0, 0.3, (3, 48)).astype(np.float32)
    np.savez(
        tmp_path / "pseudo_labels_train.npz", ids=np.array(named), mano_pose=pose,
        betas=np.zeros((3, 10)),
    )  # fmt: skip
    hands = letters_of(read_hands("asl_alphabet", tmp_path, "train", MANO), MANO)
    assert (hands.ids, hands.letters) == (("train/A1", "train/B2"), ("A", "B"))
    expected = MANO.full_pose(torch.from_numpy(pose[[1, 0]]), flat_hand_mean=True)
    torch.testing.assert_close(hands.mano_pose, expected)


def test_letters_are_checked_by_name() -> None:
    with pytest.raises(ValidationError, match="no letter 'del'"):
        AslPosesConfig(letters=("A", "del"))
    with pytest.raises(ValidationError, match="named twice"):
        AslPosesConfig(letters=("A", "A"))
    assert letter_angles("J").tolist() == letter_angles("I").tolist()
