"""Skinning weights of the 778 vertices, and the joints as weighted means of them."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls

from scripts.build_open_hand.layout import NUM_JOINTS, NUM_VERTICES
from scripts.build_open_hand.shape import ShapeSpace

MAX_INFLUENCES = 4
NEAREST_VERTICES = 40
COMPONENT_WEIGHT = 0.5
"""Weight of a joint's movement with each shape coefficient against its mean position."""
RIDGE = 2e-4


def smooth_weights(
    weights: Float[np.ndarray, "778 16"], triangles: Int[np.ndarray, "1538 3"]
) -> Float[np.ndarray, "778 16"]:
    """Blend each vertex's weights with its neighbours', twice; keep four joints a vertex.

    MakeHuman's weights were made for twice as many vertices and would crease here.
    """
    adjacency = np.zeros((NUM_VERTICES, NUM_VERTICES))
    for start, end in ((0, 1), (1, 2), (2, 0)):
        adjacency[triangles[:, start], triangles[:, end]] = 1
        adjacency[triangles[:, end], triangles[:, start]] = 1
    adjacency /= adjacency.sum(axis=1, keepdims=True)
    for _ in range(2):
        weights = 0.6 * weights + 0.4 * adjacency @ weights
    weakest = np.argsort(-weights, axis=1)[:, MAX_INFLUENCES:]
    np.put_along_axis(weights, weakest, 0.0, axis=1)
    weights[weights < 1e-3] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def fit_joint_regressor(space: ShapeSpace) -> Float[np.ndarray, "16 778"]:
    """Joints as convex combinations of the vertices nearby, right for every shape.

    Non-negative least squares over the mean and the ten components at once; rows sum to 1.
    """
    regressor = np.zeros((NUM_JOINTS, NUM_VERTICES))
    shapes = np.concatenate([space.mean[None], COMPONENT_WEIGHT * space.components])
    joints = np.concatenate([space.joint_mean[None], COMPONENT_WEIGHT * space.joint_components])
    for joint in range(NUM_JOINTS):
        distances = np.linalg.norm(space.mean - space.joint_mean[joint], axis=1)
        near = np.argsort(distances)[:NEAREST_VERTICES]
        positions = shapes[:, near].transpose(0, 2, 1).reshape(-1, len(near))  # (11 * 3, near)
        equations = np.concatenate([positions, np.ones((1, len(near))), RIDGE * np.eye(len(near))])
        values = np.concatenate([joints[:, joint].ravel(), [1.0], np.zeros(len(near))])
        solution, _ = nnls(equations * 100, values * 100)  # the factor helps nnls's tolerance
        regressor[joint, near] = solution / solution.sum()
    return regressor
