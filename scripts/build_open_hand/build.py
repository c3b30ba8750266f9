"""The whole recipe: from MakeHuman's files to the arrays of a MANO model."""

from importlib.resources.abc import Traversable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scripts.build_open_hand.arm import Arm, load_arm
from scripts.build_open_hand.collapse import EdgeCollapse
from scripts.build_open_hand.cut import cut_hand
from scripts.build_open_hand.identity import Identity, morph
from scripts.build_open_hand.layout import (
    NUM_FACES,
    NUM_JOINTS,
    NUM_VERTICES,
    PARENTS,
    THUMB,
    WRIST_RING,
    joints_of,
)
from scripts.build_open_hand.nails import find_tips, move_frames, nail_frames, nail_mask
from scripts.build_open_hand.numbering import number_vertices
from scripts.build_open_hand.pose import (
    NUM_POSES,
    POSE_NOISE_DEGREES,
    bend_axes,
    fit_pose_space,
    relaxed_pose,
    sample_poses,
)
from scripts.build_open_hand.posedirs import fit_posedirs
from scripts.build_open_hand.shape import TEMPLATE_OFFSET, fit_shape_space, sample_hands
from scripts.build_open_hand.skinning import fit_joint_regressor, smooth_weights
from scripts.build_open_hand.straighten import (
    find_skeleton,
    flat_directions,
    straighten,
    to_palm_frame,
)

NAIL_IMPORTANCE = 0.15
"""Weight of nail triangles when vertices are removed; MakeHuman models nails far too finely."""
NO_PARENT = 2**32 - 1  # how MANO's files write it


class CoarseHand(NamedTuple):
    """The mean hand with 778 vertices in their final numbers, MakeHuman's wrist joint at 0.

    Attributes:
        arm_ids: each vertex's number in the arm.
        vertices: flat pose, metres.
        nails: centre, normal, half length and half width of each nail.
        flattening: rotation of each joint's bone from rest to flat.
        directions: of each joint's bone in the flat hand.
    """

    arm_ids: Int[np.ndarray, " 778"]
    vertices: Float[np.ndarray, "778 3"]
    triangles: Int[np.ndarray, "1538 3"]
    nails: Float[np.ndarray, "5 4 3"]
    flattening: Float[np.ndarray, "16 3 3"]
    directions: Float[np.ndarray, "16 3"]


def build_open_hand(root: Traversable) -> dict[str, np.ndarray]:
    """Every array of the open hand, under MANO's names; see the asset's README for their meaning.

    Args:
        root: MakeHuman's data, of `assets.open_assets`.
    """
    arm = load_arm(root)
    hand = mean_hand(arm)
    generator = np.random.default_rng(0)
    reals = shape_arrays(arm, hand, generator)
    reals |= pose_arrays(hand, reals, generator)
    return {name: array.astype(np.float32) for name, array in reals.items()} | {
        "f": hand.triangles.astype(np.uint32),
        "kintree_table": np.array([(NO_PARENT, *PARENTS[1:]), range(NUM_JOINTS)], dtype=np.int64),
        "mh_vertex_ids": arm.vertex_ids[hand.arm_ids].astype(np.int32),
        "bs_style": np.array("lbs"),
        "bs_type": np.array("lrotmin"),
    }


def shape_arrays(
    arm: Arm, hand: CoarseHand, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Template, shape components, joints and skinning weights."""
    space = fit_shape_space(sample_hands(arm, hand.arm_ids, hand.directions, generator))
    template = space.mean + TEMPLATE_OFFSET
    regressor = fit_joint_regressor(space)
    return {
        "v_template": template,
        "shapedirs": space.components.transpose(1, 2, 0),
        "J_regressor": regressor,
        "J": regressor @ template,
        "weights": smooth_weights(arm.weights[hand.arm_ids], hand.triangles),
    }


def pose_arrays(
    hand: CoarseHand, shape: dict[str, np.ndarray], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Mean pose, pose components and correctives; nails and bend axes for drawing and posing.

    Args:
        shape: of `shape_arrays`.
    """
    template = shape["v_template"]
    nails = hand.nails.copy()
    nails[:, 0] += TEMPLATE_OFFSET
    nails = move_frames(nails, hand.vertices + TEMPLATE_OFFSET, template)
    axes = bend_axes(hand.directions, nails[THUMB, 1])
    mean_pose = relaxed_pose(hand.flattening)
    twist = hand.directions[joints_of(THUMB)[0]]
    poses = sample_poses(axes, twist, np.random.default_rng(1), NUM_POSES)
    poses += generator.normal(0, np.deg2rad(POSE_NOISE_DEGREES), poses.shape)
    pose_space = fit_pose_space(poses, mean_pose)
    return {
        "hands_mean": mean_pose.ravel(),
        "hands_components": pose_space.components,
        "hands_coeffs": pose_space.coefficients,
        "posedirs": fit_posedirs(template, shape["J"], shape["weights"], axes, generator),
        "nails": nails,
        "flex_axes": axes.flexion,
        "abd_axes": axes.abduction,
    }


def mean_hand(arm: Arm) -> CoarseHand:
    """Cut, thin out and number the hand of MakeHuman's average adult."""
    positions = to_palm_frame(arm, morph(arm, Identity()))
    skeleton = find_skeleton(arm, positions)
    directions = flat_directions(skeleton)
    flat = straighten(arm, positions, directions)
    skin = cut_hand(arm, positions, skeleton, flat.positions)
    vertices, weights = flat.positions[skin.arm_ids], arm.weights[skin.arm_ids]
    nails = nail_mask(arm, skin)
    tips = find_tips(vertices, nails, weights, directions)
    kept, triangles = thin_out(vertices, skin.triangles, nails, tips)
    coarse_tips = np.searchsorted(kept, tips).tolist()
    old_numbers = number_vertices(vertices[kept], triangles, weights[kept], coarse_tips)
    kept = kept[old_numbers]
    return CoarseHand(
        arm_ids=skin.arm_ids[kept],
        vertices=vertices[kept],
        triangles=np.argsort(old_numbers)[triangles],
        nails=nail_frames(vertices, nails, weights, directions),
        flattening=flat.rotations,
        directions=directions,
    )


def thin_out(
    vertices: Float[np.ndarray, "skin 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    nails: Float[np.ndarray, " skin"],
    tips: list[int],
) -> tuple[Int[np.ndarray, " 778"], Int[np.ndarray, "1538 3"]]:
    """Collapse the skin to MANO's counts; the boundary first, later it could not shrink enough."""
    importance = np.where(nails[triangles].mean(axis=1) > 0.3, NAIL_IMPORTANCE, 1.0)
    mesh = EdgeCollapse(vertices, triangles, importance, keep=tips)
    mesh.shrink_boundary(len(WRIST_RING))
    mesh.shrink_interior(NUM_VERTICES)
    kept, coarse = mesh.result()
    if (len(kept), len(coarse)) != (NUM_VERTICES, NUM_FACES):
        raise ValueError(
            f"expected {NUM_VERTICES} vertices and {NUM_FACES} triangles, "
            f"got {len(kept)} and {len(coarse)}: the source skin is not a disk"
        )
    return kept, coarse
