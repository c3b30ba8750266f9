"""The masked transformer: what its logits depend on, its context, its ablations."""

import pytest
import torch
from pydantic import ValidationError

from hand_pipeline.methods.maskhand.config import ContextSynthesizerConfig
from hand_pipeline.methods.maskhand.context_synthesizer import ContextSynthesizer

TOKENS, CODES, EMBED = 8, 20, 24


def small(**changes) -> ContextSynthesizerConfig:
    sizes = {"width": 16, "heads": 2, "points": 2, "layers": 2, "feedforward_width": 32}
    return ContextSynthesizerConfig(**(sizes | changes))


def synthesizer_of(**changes) -> ContextSynthesizer:
    torch.manual_seed(0)
    network = ContextSynthesizer(small(**changes), TOKENS, CODES, EMBED).eval()
    with torch.no_grad():  # the published start looks at the same places whatever the query
        for name, parameter in network.named_parameters():
            if "sampling_offsets" in name or "attention_weights" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    ids = torch.randint(0, CODES + 1, (2, TOKENS))
    return ids, torch.randn(2, 16, EMBED), torch.rand(2, 21, 2) * 2 - 1, torch.ones(2, 21)


ABLATIONS = [
    {},
    {"use_upsampler": False},
    {"use_pose_2d": False},
    {"use_graph_refinement": False},
    {"use_upsampler": False, "use_pose_2d": False, "use_graph_refinement": False},
    {"scales": (1, 4, 8)},
    {"scales": (1,)},
    {"layers": 6},
    {"context": "tokens"},
    {"context": "tokens", "use_pose_2d": False},
]


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_every_variant_gives_logits_and_trains_all_its_parameters(inputs, changes):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of(**changes).train()
    confidence[:, :3] = 0
    logits = network(ids, network.encode_context(features, keypoints, confidence))
    assert logits.shape == (2, TOKENS, CODES)
    logits.square().sum().backward()
    untrained = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert untrained == []


def test_logits_depend_on_ids_features_and_keypoints(inputs):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of()
    logits = network(ids, network.encode_context(features, keypoints, confidence))
    other_ids = ids.clone()
    other_ids[:, 0] = (ids[:, 0] + 1) % CODES
    changed = [
        network(other_ids, network.encode_context(features, keypoints, confidence)),
        network(ids, network.encode_context(features.flip(1), keypoints, confidence)),
        network(ids, network.encode_context(features, keypoints.flip(1), confidence)),
    ]
    assert all((other - logits)[:, -1].abs().max() > 1e-5 for other in changed)


def test_missing_keypoints_are_all_of_no_confidence_and_none_is_full_confidence(inputs):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of()
    without = network(ids, network.encode_context(features))
    unseen = network(ids, network.encode_context(features, keypoints, 0 * confidence))
    torch.testing.assert_close(without, unseen, rtol=0, atol=0)
    default = network(ids, network.encode_context(features, keypoints))
    seen = network(ids, network.encode_context(features, keypoints, confidence))
    torch.testing.assert_close(default, seen, rtol=0, atol=0)
    assert (default - without).abs().max() > 1e-5


def test_a_confidence_without_keypoints_is_refused(inputs):
    _, features, _, confidence = inputs
    with pytest.raises(ValueError, match="without keypoints"):
        synthesizer_of().encode_context(features, confidence=confidence)


def test_without_the_2d_context_keypoints_do_not_matter(inputs):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of(use_pose_2d=False)
    with_keypoints = network(ids, network.encode_context(features, keypoints, confidence))
    without = network(ids, network.encode_context(features))
    torch.testing.assert_close(with_keypoints, without, rtol=0, atol=0)


@pytest.mark.parametrize("context", ["maps", "tokens"])
def test_hypotheses_share_the_context_of_their_image(inputs, context):
    _, features, keypoints, confidence = inputs
    network = synthesizer_of(context=context)
    ids = torch.randint(0, CODES + 1, (6, TOKENS))
    together = network(ids, network.encode_context(features, keypoints, confidence))
    copies = [x.repeat_interleave(3, dim=0) for x in (features, keypoints, confidence)]
    apart = network(ids, network.encode_context(*copies))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"context": "tokens"}, {"layers": 1}], ids=str)
def test_logits_at_chosen_positions_are_those_of_all(inputs, changes):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of(**changes)
    context = network.encode_context(features, keypoints, confidence)
    positions = torch.tensor([[5, 0, 2], [1, 7, 3]])
    everywhere = network(ids, context)
    expected = torch.stack([row[at] for row, at in zip(everywhere, positions)])
    torch.testing.assert_close(network(ids, context, positions), expected)


def test_reference_points_lie_in_the_image_and_follow_the_2d_pose(inputs):
    ids, features, keypoints, confidence = inputs
    network, seen = synthesizer_of(), []
    for layer in network.layers:
        layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[2]))
    for pose in (keypoints, keypoints.flip(1)):
        network(ids, network.encode_context(features, pose, confidence))
    torch.testing.assert_close(seen[0], seen[1])  # one set for all layers
    assert ((seen[0] > 0) & (seen[0] < 1)).all()
    assert (seen[0] - seen[2]).abs().max() > 1e-5


@pytest.mark.parametrize("shape", [(2, TOKENS + 1), (3, TOKENS)])
def test_ids_that_do_not_fit_are_refused(inputs, shape):
    _, features, _, _ = inputs
    network = synthesizer_of()
    context = network.encode_context(features)
    with pytest.raises(ValueError, match=f"expected ids of {TOKENS} tokens for a multiple of 2"):
        network(torch.zeros(shape, dtype=torch.int64), context)


def test_it_runs_in_bfloat16_autocast_near_its_full_precision(inputs):
    ids, features, keypoints, confidence = inputs
    network = synthesizer_of()
    expected = network(ids, network.encode_context(features, keypoints, confidence))
    with torch.autocast("cpu", torch.bfloat16):
        found = network(ids, network.encode_context(features, keypoints, confidence))
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_the_default_has_the_size_that_the_cost_model_assumed():
    network = ContextSynthesizer(ContextSynthesizerConfig(), 64, 2048, 1280)
    decoder = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith("scales.")
    )
    assert 5e6 < decoder < 7e6


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"width": 10, "heads": 4}, "not a multiple"), ({"scales": (4, 1)}, "rising powers of two")],
)
def test_impossible_configurations_are_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        ContextSynthesizerConfig(**changes)
