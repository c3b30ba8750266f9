"""Our deformable attention against a plain loop, and against transformers' Deformable DETR."""

import math

import numpy as np
import pytest
import torch

from hand_pipeline.methods.maskhand.deformable_attention import DeformableAttention
from hand_pipeline.models.torchvision_compat import ensure_torchvision

ensure_torchvision()  # transformers imports it
SHAPES = ((5, 7), (10, 14))  # rows, columns
BATCH, TOKENS, WIDTH, HEADS, POINTS = 2, 6, 16, 4, 3


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    attention = DeformableAttention(WIDTH, len(SHAPES), HEADS, POINTS)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(std=0.5)
    maps = [torch.randn(BATCH, WIDTH, rows, columns) for rows, columns in SHAPES]
    references = torch.rand(BATCH, TOKENS, 2) * 1.2 - 0.1  # some points lie outside
    return attention, torch.randn(BATCH, TOKENS, WIDTH), references, maps


def bilinear(level: np.ndarray, x: float, y: float) -> np.ndarray:
    """Value at x, y in cells (centres at .5) of a (channels, rows, columns) map, 0 outside."""
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    found = np.zeros(len(level))
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < level.shape[1] and 0 <= column < level.shape[2]:
                share = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                found += share * level[:, row, column]
    return found


def looped(attention, queries, references, maps) -> np.ndarray:
    """Eq. 3 of Deformable DETR, word by word."""
    state = {name: value.double().numpy() for name, value in attention.state_dict().items()}

    def linear(name: str, vector: np.ndarray) -> np.ndarray:
        return state[f"{name}.weight"] @ vector + state[f"{name}.bias"]

    head_width = WIDTH // HEADS
    out = np.zeros((BATCH, TOKENS, WIDTH))
    for image in range(BATCH):
        values = [
            np.einsum("oc,cyx->oyx", state["value_proj.weight"], level[image].double().numpy())
            + state["value_proj.bias"][:, None, None]
            for level in maps
        ]
        for token in range(TOKENS):
            query = queries[image, token].double().numpy()
            offsets = linear("sampling_offsets", query).reshape(HEADS, len(maps), POINTS, 2)
            scores = linear("attention_weights", query).reshape(HEADS, len(maps) * POINTS)
            found = np.zeros(WIDTH)
            for head in range(HEADS):
                weights = np.exp(scores[head]) / np.exp(scores[head]).sum()
                own = slice(head * head_width, (head + 1) * head_width)
                for level, value in enumerate(values):
                    rows, columns = value.shape[1:]
                    for point in range(POINTS):
                        x = references[image, token, 0].item() * columns
                        y = references[image, token, 1].item() * rows
                        dx, dy = offsets[head, level, point]
                        weight = weights[level * POINTS + point]
                        found[own] += weight * bilinear(value[own], x + dx, y + dy)
            out[image, token] = linear("output_proj", found)
    return out


def test_it_equals_a_plain_loop_over_queries_heads_levels_and_points(inputs):
    attention, queries, references, maps = inputs
    with torch.no_grad():
        ours = attention(queries, references, attention.project_values(maps))
    np.testing.assert_allclose(ours.numpy(), looped(*inputs), atol=1e-5)


def test_it_equals_deformable_detr_of_transformers(inputs):
    deformable_detr = pytest.importorskip(
        "transformers.models.deformable_detr.modeling_deformable_detr",
        reason="transformers is not installed; the loop above checks the same formula",
    )
    from transformers import DeformableDetrConfig

    attention, queries, references, maps = inputs
    cfg = DeformableDetrConfig(
        d_model=WIDTH, num_feature_levels=len(SHAPES), disable_custom_kernels=True
    )
    theirs = deformable_detr.DeformableDetrMultiscaleDeformableAttention(cfg, HEADS, POINTS)
    theirs.load_state_dict(attention.state_dict())
    sizes = torch.tensor(SHAPES)
    starts = torch.tensor([0, SHAPES[0][0] * SHAPES[0][1]])
    with torch.no_grad():
        expected = theirs(
            hidden_states=queries,
            encoder_hidden_states=torch.cat([level.flatten(2).mT for level in maps], dim=1),
            reference_points=references[:, :, None].expand(-1, -1, len(SHAPES), -1),
            spatial_shapes=sizes,
            spatial_shapes_list=list(SHAPES),
            level_start_index=starts,
        )[0]
        ours = attention(queries, references, attention.project_values(maps))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_it_starts_as_deformable_detr_of_transformers():
    pytest.importorskip(
        "transformers", reason="transformers is not installed; a unit test has the printed ring"
    )
    from transformers import DeformableDetrConfig, DeformableDetrModel

    cfg = DeformableDetrConfig(
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, num_feature_levels=3, encoder_n_points=2, decoder_n_points=2,
        encoder_ffn_dim=8, decoder_ffn_dim=8, num_queries=4, use_timm_backbone=True,
        backbone="resnet18", use_pretrained_backbone=False,
    )  # fmt: skip
    theirs = DeformableDetrModel(cfg).encoder.layers[0].self_attn
    ours = DeformableAttention(32, num_levels=3, num_heads=4, num_points=2)
    for name in ("sampling_offsets", "attention_weights"):
        for kind in ("weight", "bias"):
            expected = getattr(getattr(theirs, name), kind)
            torch.testing.assert_close(getattr(getattr(ours, name), kind), expected)
