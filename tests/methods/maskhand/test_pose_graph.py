"""The keypoint graph and the graph refinement block."""

import pytest
import torch
from torch.nn import functional as F

from hand_pipeline.geometry.joints import BONES
from hand_pipeline.methods.maskhand.pose_graph import (
    GraphRefinement,
    KeypointGraph,
    SqueezeExcitation,
    skeleton_adjacency,
)


@pytest.fixture
def keypoints() -> torch.Tensor:
    return torch.rand(2, 21, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1


def graph_of(num_layers: int) -> KeypointGraph:
    torch.manual_seed(0)
    return KeypointGraph(16, num_layers).eval()


def test_the_adjacency_joins_bones_and_is_normalised():
    adjacency = skeleton_adjacency()
    joined = {(i, j) for i, j in adjacency.nonzero().tolist() if i < j}
    assert joined == set(BONES)
    torch.testing.assert_close(adjacency, adjacency.T)
    assert adjacency[0, 0].item() == pytest.approx(1 / 6)  # five fingers and itself
    assert adjacency[4, 4].item() == pytest.approx(1 / 2)  # a tip
    assert adjacency[0, 1].item() == pytest.approx((6 * 3) ** -0.5)
    assert torch.linalg.eigvalsh(adjacency)[-1].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("num_layers", "reached"), [(1, {7, 6, 8}), (2, {7, 6, 8, 5})])
def test_a_joint_reaches_one_bone_further_with_every_layer(keypoints, num_layers, reached):
    graph, confidence = graph_of(num_layers), torch.ones(2, 21)
    moved = keypoints.clone()
    moved[:, 7] += 0.3
    change = (graph(moved, confidence) - graph(keypoints, confidence)).abs().sum(dim=(0, 2))
    assert set(change.nonzero().flatten().tolist()) == reached


@pytest.mark.parametrize("junk", [1e6, float("nan"), float("inf")])
def test_coordinates_of_a_joint_that_was_not_seen_count_for_nothing(keypoints, junk):
    graph, confidence = graph_of(2), torch.ones(2, 21)
    confidence[:, 7] = 0
    spoilt = keypoints.clone()
    spoilt[:, 7] = junk
    tokens = graph(spoilt, confidence)
    torch.testing.assert_close(tokens, graph(keypoints, confidence), rtol=0, atol=0)
    tokens.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in graph.parameters())
    assert graph.missing.grad.abs().sum() > 0


def test_a_missing_joint_is_told_from_one_at_the_centre(keypoints):
    graph, confidence = graph_of(2), torch.ones(2, 21)
    keypoints[:, 7] = 0
    seen = graph(keypoints, confidence)
    confidence[:, 7] = 0
    assert (graph(keypoints, confidence) - seen)[:, 7].abs().max() > 1e-3


def test_confidence_acts_smoothly_down_to_nothing(keypoints):
    graph, confidence = graph_of(2), torch.ones(2, 21)
    confidence[:, 7] = 1e-6
    almost = graph(keypoints, confidence)
    confidence[:, 7] = 0
    torch.testing.assert_close(almost, graph(keypoints, confidence), atol=1e-4, rtol=1e-4)


def test_confidences_outside_0_to_1_are_clamped(keypoints):
    graph = graph_of(1)
    wild = torch.full((2, 21), 7.0)
    torch.testing.assert_close(graph(keypoints, wild), graph(keypoints, torch.ones(2, 21)))
    lost = graph(keypoints, torch.full((2, 21), float("nan")))
    torch.testing.assert_close(lost, graph(keypoints, torch.zeros(2, 21)))


def test_a_refinement_block_is_the_papers_two_equations():
    torch.manual_seed(0)
    block = GraphRefinement(width=16, num_tokens=5, num_heads=2).eval()
    with torch.no_grad():
        block.adjacency.normal_()
    tokens = torch.randn(2, 5, 16)
    graph = F.linear(F.layer_norm(tokens, (16,)), block.graph.weight, block.graph.bias)
    query = tokens + torch.einsum("ij,bjc->bic", block.adjacency, graph)
    normed = F.layer_norm(query, (16,))
    attended = block.attention(normed, block.attention.project_values(normed))
    kernel = block.convolution.weight[:, :, None]  # a true 1 x 1 convolution over the sequence
    convolved = F.conv1d(normed.mT, kernel, block.convolution.bias).mT
    prime = F.layer_norm(attended + convolved + query, (16,))
    squeezed = block.excitation.gate(prime.mean(dim=1))
    torch.testing.assert_close(block(tokens), prime * squeezed[:, None])


def test_every_token_learns_from_every_other_through_the_learned_adjacency():
    torch.manual_seed(0)
    block = GraphRefinement(width=16, num_tokens=5, num_heads=2)
    block(torch.randn(2, 5, 16)).square().sum().backward()
    assert (block.adjacency.grad != 0).all()


def test_squeeze_excitation_scales_channels_alike_in_all_tokens():
    torch.manual_seed(0)
    tokens = torch.randn(2, 5, 16)
    gates = SqueezeExcitation(16)(tokens) / tokens
    torch.testing.assert_close(gates, gates[:, :1].expand_as(gates))
    assert ((gates > 0) & (gates < 1)).all()
    assert not torch.allclose(gates[0, 0], gates[1, 0])
