"""Poses from principal components."""

import pytest
import torch

from hand_pipeline.data.pca_poses import PosePCA


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    """Poses that vary most along a few mixed directions."""
    scale = torch.linspace(1.0, 0.01, 45)
    mix = torch.linalg.qr(torch.randn(45, 45, generator=generator(1)))[0]
    return 0.3 + (torch.randn(400, 45, generator=generator(2)) * scale) @ mix


def test_components_are_those_of_the_covariance(poses):
    found = PosePCA.fit(poses)
    values, vectors = torch.linalg.eigh(torch.cov(poses.double().T))
    torch.testing.assert_close(found.std.double(), values.flip(0).sqrt(), rtol=1e-4, atol=1e-6)
    overlap = (found.components.double() * vectors.T.flip(0)).sum(1).abs()
    torch.testing.assert_close(overlap[:10], torch.ones(10).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.mean, poses.mean(0), rtol=0, atol=1e-6)


def test_components_are_orthonormal_and_point_along_their_largest_entry(poses):
    rows = PosePCA.fit(poses).components
    torch.testing.assert_close(rows @ rows.T, torch.eye(45), rtol=0, atol=1e-5)
    assert (rows.gather(1, rows.abs().argmax(1, keepdim=True)) > 0).all()


def test_drawn_poses_vary_as_the_given_ones_do(poses):
    drawn = PosePCA.fit(poses).sample(20000, generator())
    torch.testing.assert_close(drawn.mean(0), poses.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(poses.T), rtol=0, atol=0.03)


def test_only_the_first_components_vary(poses):
    model = PosePCA.fit(poses)
    off = (model.sample(50, generator(), num_components=4) - model.mean) @ model.components.T
    assert off[:, :4].std() > 0.1
    torch.testing.assert_close(off[:, 4:], torch.zeros(50, 41), rtol=0, atol=1e-5)


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_truncated_draws_keep_to_the_limit_and_are_normal_within_it(poses, limit):
    model = PosePCA.fit(poses)
    drawn = model.sample(4000, generator(), num_components=8, truncation=limit)
    units = ((drawn - model.mean) @ model.components.T)[:, :8] / model.std[:8]
    assert units.abs().max() <= limit * 1.001
    plain = torch.randn(200000, generator=generator(3))
    plain = plain[plain.abs() <= limit]
    assert units.std().item() == pytest.approx(plain.std().item(), rel=0.02)


def test_the_same_generator_gives_the_same_poses(poses):
    model = PosePCA.fit(poses)
    for truncation in (None, 2.0):
        once, again = (model.sample(5, generator(7), truncation=truncation) for _ in range(2))
        other = model.sample(5, generator(8), truncation=truncation)
        assert torch.equal(once, again)
        assert not torch.equal(once, other)


def test_few_poses_have_few_components():
    poses = torch.randn(4, 45, generator=generator())
    model = PosePCA.fit(poses)
    assert model.components.shape == (3, 45)
    off = poses - model.mean
    torch.testing.assert_close(off @ model.components.T @ model.components, off, rtol=0, atol=1e-5)


def test_impossible_requests_are_refused(poses):
    with pytest.raises(ValueError, match="at least two poses"):
        PosePCA.fit(poses[:1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        PosePCA.fit(torch.full((3, 45), torch.nan))
    model = PosePCA.fit(poses)
    for number in (0, 46):
        with pytest.raises(ValueError, match=f"1 to 45 components, not {number}"):
            model.sample(1, generator(), num_components=number)
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="truncation must be above 0"):
            model.sample(1, generator(), truncation=limit)
