"""The cross-attention head for shape and camera."""

import torch

from hand_pipeline.methods.maskhand.config import ShapeCameraHeadConfig
from hand_pipeline.methods.maskhand.shape_camera_head import ShapeCameraHead
from hand_pipeline.models.crop_camera import INITIAL_SCALE


def head_of(**changes) -> ShapeCameraHead:
    torch.manual_seed(0)
    sizes = {"width": 32, "depth": 2, "heads": 2, "head_width": 8, "feedforward_width": 32}
    return ShapeCameraHead(ShapeCameraHeadConfig(**(sizes | changes)), embed_dim=24).eval()


def test_it_starts_near_the_mean_hand():
    found = head_of()(torch.randn(3, 16, 24))
    assert found.betas.shape == (3, 10)
    assert found.betas.abs().max() < 0.2
    mean = torch.tensor([INITIAL_SCALE, 0.0, 0.0]).expand(3, -1)
    torch.testing.assert_close(found.camera, mean, atol=0.2, rtol=0)


def test_its_answer_is_a_step_from_the_mean_camera():
    patches = torch.randn(3, 16, 24)
    head = head_of()
    near = head(patches)
    head.mean[-3:] = torch.tensor([5.0, 1.0, -2.0])
    far = head(patches)
    shift = torch.tensor([5.0 - INITIAL_SCALE, 1, -2]).expand(3, -1)
    torch.testing.assert_close(far.camera - near.camera, shift)
    torch.testing.assert_close(far.betas, near.betas)


def test_every_image_is_read_for_itself_and_all_parameters_learn():
    head, patches = head_of(), torch.randn(3, 16, 24)
    found = head(patches)
    alone = head(patches[1:2])
    torch.testing.assert_close(found.betas[1:2], alone.betas)
    assert (found.betas[0] - found.betas[1]).abs().max() > 1e-5
    (found.betas.square().sum() + found.camera.square().sum()).backward()
    keys = [n for n, p in head.named_parameters() if not p.grad.any()]
    # a constant added to all keys changes no softmax
    assert [name for name in keys if not name.endswith("key_proj.bias")] == []


def test_under_autocast_the_answer_is_float32():
    with torch.autocast("cpu", torch.bfloat16):
        found = head_of()(torch.randn(3, 16, 24))
    assert found.betas.dtype == found.camera.dtype == torch.float32
