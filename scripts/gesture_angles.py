"""Angles between the fingers of the named gestures, and of the thumb, on the posed mesh's joints.

python -m scripts.gesture_angles [flat spread victory thumb_up ...]     (none: all gestures)
"""

import argparse

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from hand_pipeline.data.synthetic.gestures import GESTURES
from hand_pipeline.data.synthetic.poses import finger_rotations, skeleton_of
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

_BENT = 60  # degrees at the middle joint: a finger whose direction says nothing of its spread


def mesh_joints(angles: Float[ndarray, "n 21"], mano: ManoHand) -> Float[ndarray, "n 21 3"]:
    """Joints of the mean hand in OpenPose order, metres."""
    fingers = torch.from_numpy(finger_rotations(angles, skeleton_of(mano))).float()
    wrist = torch.eye(3).expand(len(angles), 1, 3, 3)
    pose = torch.cat([wrist, axis_angle_to_matrix(fingers)], 1)
    return mano(pose, torch.zeros(len(angles), 10)).joints.double().numpy()


def neighbours_apart(angles: Float[ndarray, "n 21"], mano: ManoHand) -> Float[ndarray, "n 3"]:
    """Angles between neighbouring fingers' first bones in the palm's plane, degrees.

    Of index and middle, middle and ring, ring and pinky; positive where they part, negative where
    they cross. Measured on the posed mesh's joints, from the rest frame's fingers -x, thumb +z.
    """
    joints = mesh_joints(angles, mano)
    bones = joints[:, [6, 10, 14, 18]] - joints[:, [5, 9, 13, 17]]
    to_thumb = np.degrees(np.arctan2(bones[..., 2], -bones[..., 0]))
    return to_thumb[:, :3] - to_thumb[:, 1:]


def thumb_to_fingers(angles: Float[ndarray, "n 21"], mano: ManoHand) -> Float[ndarray, " n"]:
    """Angle between the thumb, from its second joint to the tip, and the middle metacarpal."""
    joints = mesh_joints(angles, mano)
    thumb, axis = joints[:, 4] - joints[:, 2], joints[:, 9] - joints[:, 0]
    cosine = (thumb * axis).sum(1) / np.linalg.norm(thumb, axis=1) / np.linalg.norm(axis, axis=1)
    return np.degrees(np.arccos(cosine))


def main() -> None:
    """Print a table: what stands between two straight fingers, and the thumb."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], "rest", *GESTURES], metavar="gesture")
    names = parser.parse_args().names or ["rest", *GESTURES]
    angles = np.stack([GESTURES.get(name, np.zeros(21)) for name in names])
    mano = ManoHand()
    bent = angles[:, [1, 5, 9, 13]] > _BENT
    apart = np.where(bent[:, :3] | bent[:, 1:], np.nan, neighbours_apart(angles, mano))
    print("gesture       index-middle  middle-ring  ring-pinky  thumb")
    for name, between, thumb in zip(names, apart, thumb_to_fingers(angles, mano)):
        shown = ["" if np.isnan(value) else f"{value:z.1f}" for value in between]
        print(f"{name:<14}{shown[0]:>12}{shown[1]:>13}{shown[2]:>12}{thumb:>7.0f}")


if __name__ == "__main__":
    main()
