"""What the figures of sampling show of a small model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.methods.maskhand.test_maskhand import build, keypoints_of

from hand_pipeline.methods.maskhand.sampling import SamplingConfig, mask_counts
from hand_pipeline.methods.maskhand.sampling_figures import (
    looks_figure,
    looks_of,
    passes_figure,
    passes_of,
)
from hand_pipeline.viz.figure import to_image

THREE = SamplingConfig(iterations=3)


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["masked only", "all read at the end"])
@torch.no_grad()
def test_the_last_pass_has_the_confidence_of_the_sampled_hand(batch, share) -> None:
    model = build(self_conditioning=share, confidence="code").eval()
    encoded = model.encode(batch)
    passes = passes_of(model, encoded, 4, THREE)
    assert [each.asked.sum(1).tolist() for each in passes] == [[n] * 4 for n in mask_counts(16, 3)]
    kept = ~passes[1].asked
    assert torch.equal(passes[0].probabilities[kept], passes[1].probabilities[kept])
    found = model.sample(encoded.context, 4, THREE)
    torch.testing.assert_close(passes[-1].probabilities, found.probabilities[:, 0])
    torch.testing.assert_close(passes[-1].confidence, found.confidence[:, 0])


@torch.no_grad()
def test_tokens_look_around_their_reference_points(batch) -> None:
    model = build().eval()
    encoded = model.encode(replace(batch, keypoints=keypoints_of(batch)))
    looks = looks_of(model, encoded, 4)
    assert looks.references.shape == (4, 16, 2)
    assert [each.shape for each in looks.places] == [(4, 16, 2 * 2 * 4, 2)] * 2
    # offsets start as rings of 1 to 4 cells on grids of 4 and 16 cells, all of the same weight
    away = (looks.places[0] - looks.references[:, :, None]).abs().amax(-1)
    expected = torch.cat([torch.arange(1, 5) / 4, torch.arange(1, 5) / 16]).repeat(2)
    torch.testing.assert_close(away, expected.expand_as(away))
    torch.testing.assert_close(looks.weights[1], torch.full((4, 16, 16), 1 / 16))
    assert not model.synthesizer.layers[0].cross_attention._forward_pre_hooks


@torch.no_grad()
def test_figures_have_a_row_a_hand_and_show_own_joints_where_none_were_found(batch) -> None:
    model = build(weight_own_joints_2d=1.0).eval()
    found = keypoints_of(batch)
    found.confidence[0, :10] = 0
    guided = replace(batch, keypoints=found)
    encoded = model.encode(guided)
    passes, looks = passes_of(model, encoded, 4, THREE), looks_of(model, encoded, 4)
    figure = looks_figure(guided.rows(range(2)), encoded, looks)
    first, second = (axes for axes in figure.axes if axes.get_title() == "2D joints" or
                     axes.get_ylabel() == "b")  # fmt: skip
    assert [len(points.get_offsets()) for points in first.collections] == [11, 10]
    assert [len(points.get_offsets()) for points in second.collections] == [21, 0]
    for made, least in ((figure, 2), (passes_figure(passes, ("a", "b")), 1.2)):
        picture = to_image(made, dpi=40)
        assert picture.width > least * 100
        assert np.asarray(picture).std() > 10
