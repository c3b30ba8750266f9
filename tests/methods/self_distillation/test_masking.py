import math
import random

import pytest
import torch

from hand_pipeline.methods.self_distillation.masking import (
    MaskSampler,
    block_masks,
    gather_masked,
)


def one_by_one(ratio, grid, rng):
    """BEiT's rule, written out for one image."""
    mask = torch.zeros(grid, grid, dtype=torch.bool)
    budget, masked = ratio * grid * grid, 0
    while masked < budget:
        for _ in range(10):
            area = rng.uniform((grid // 3) ** 2, budget - masked)
            aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= grid or width >= grid:
                continue
            top, left = rng.randint(0, grid - height), rng.randint(0, grid - width)
            block = mask[top : top + height, left : left + width]
            new = height * width - int(block.sum())
            if 0 < new <= budget - masked:
                block[:] = True
                masked += new
                break
        else:
            break
    return mask


def statistics(masks):
    """Share of hidden patches, and of hidden patches whose right neighbour is hidden too."""
    count = masks.sum((1, 2)).float()
    beside = (masks[:, :, 1:] & masks[:, :, :-1]).sum((1, 2)) / count.clamp(min=1)
    return torch.stack([count / masks[0].numel(), beside], -1)


@pytest.mark.parametrize("grid", [7, 14])
def test_batched_blocks_are_distributed_as_the_rule_one_by_one(grid):
    ratio = torch.linspace(0.1, 0.5, 1500)
    rng = random.Random(0)
    reference = statistics(torch.stack([one_by_one(r, grid, rng) for r in ratio.tolist()]))
    masks = block_masks(ratio, grid, generator=torch.Generator().manual_seed(0))
    ours = statistics(masks.unflatten(1, (grid, grid)))
    # Two means of 1500 draws differ by less than 4 of their standard errors.
    error = (reference.var(0) / 1500 + ours.var(0) / 1500).sqrt()
    assert ((reference.mean(0) - ours.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(reference.std(0), ours.std(0), atol=0.02, rtol=0)


@pytest.mark.parametrize("grid", [4, 6, 14])
def test_masks_never_exceed_their_ratio_and_are_never_empty(grid):
    ratio = torch.linspace(0.1, 0.5, 400)
    count = block_masks(ratio, grid).sum(1)
    assert (count <= (ratio * grid**2).clamp(min=1) + 1e-4).all()
    assert count.min() >= 1


def test_a_batch_never_hides_more_than_its_upper_bound():
    sampler = MaskSampler((0.1, 0.5), 6)
    for batch in (1, 2, 7, 64):
        bound = sampler.most_masked(batch)
        assert max(int(sampler(batch, "cpu").sum()) for _ in range(30)) <= bound


def test_stratified_ratios_are_uniform_and_their_bound_is_tight():
    sampler, even = MaskSampler((0.1, 0.5), 14), torch.linspace(0.1, 0.5, 256)
    drawn = sampler.ratios(256, "cpu").sort().values
    torch.testing.assert_close(drawn, even, atol=0.002, rtol=0)
    assert sampler.most_masked(256) < 1.02 * 0.3 * 196 * 256


def test_a_grid_too_small_for_the_ratio_is_refused():
    with pytest.raises(ValueError, match="2x2 patches"):
        MaskSampler((0.1, 0.5), 2)


def test_gathering_finds_every_masked_token_once_and_weighs_images_alike():
    mask = block_masks(torch.tensor([0.2, 0.5, 0.35]), 6)
    index, weights = gather_masked(mask, 60)
    filled = weights > 0
    assert index[filled].tolist() == mask.flatten().nonzero()[:, 0].tolist()
    share = torch.zeros(3).index_add(0, index[filled] // 36, weights[filled])
    torch.testing.assert_close(share, torch.full((3,), 1 / 3))


def test_gathering_fills_a_buffer_of_exactly_the_right_size():
    mask = block_masks(torch.tensor([0.2, 0.5]), 6)
    index, weights = gather_masked(mask, int(mask.sum()))
    assert index.tolist() == mask.flatten().nonzero()[:, 0].tolist()
    assert (weights > 0).all()
