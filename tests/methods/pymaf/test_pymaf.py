"""The fine-tuning method: overfit, gradients, freezing, prediction."""

from dataclasses import replace

import pytest
import torch

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.models.vit_weights import CheckpointMismatchError
from hand_pipeline.training.hand_terms import in_wrist_frame

SIZE = 32
VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=SIZE, patch_size=8, depth=2, embed_dim=32, num_heads=2
)
STILL = HandAugmentationConfig(
    image_size=SIZE, rotation_deg=0, scale=0, translation=0, brightness=0, contrast=0, hue=0
)


def method_of(augmentation=STILL, **changes) -> PyMAF:
    torch.manual_seed(0)
    cfg = PyMAFConfig(
        pyramid_channels=16,
        regressor_width=64,
        regressor_dropout=0,
        pyramid_norm="group",
        **changes,
    )
    return PyMAF(cfg, VIT, augmentation)


def total(method: PyMAF, terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(method.loss_weights[name] * value for name, value in terms.items())


@pytest.mark.slow
def test_one_batch_can_be_overfitted(batch):
    method = method_of()
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    history = []
    for step in range(200):
        loss = total(method, method.losses(batch, step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 10)
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0] / 8
    with torch.inference_mode():
        hands = method.eval().predict(batch)
    relative = hands.vertices[:, 0] - hands.joints_3d[:, 0, :1]
    truth = batch.vertices - batch.joints_3d[:, :1]
    assert (relative - truth).norm(dim=-1).mean() < 0.012


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_terms_have_the_names_of_their_weights(batch, own):
    method = method_of(weight_own_joints_2d=own)
    terms = method.losses(batch, 0)
    assert terms.keys() == method.loss_weights.keys()
    assert all(value.ndim == 0 for value in terms.values())


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_every_trained_parameter_gets_a_finite_gradient(batch, own):
    method = method_of(HandAugmentationConfig(image_size=SIZE), weight_own_joints_2d=own)
    total(method, method.losses(batch, 0)).backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_heat_maps_learn_from_2d_labels_and_from_nothing_else(batch):
    method = method_of(weight_own_joints_2d=1.0)
    terms = method.losses(batch, 0)
    own, weight = terms.pop("own_joints_2d"), method.head.keypoint_head.maps.weight
    rest = torch.autograd.grad(sum(terms.values()), weight, retain_graph=True, allow_unused=True)
    assert rest == (None,)
    own.backward()
    assert weight.grad.norm() > 0
    assert method.backbone.trunk.patch_embed.proj.weight.grad.norm() > 0
    unseen = replace(batch, has_joints_2d=torch.zeros(4, 21, dtype=torch.bool))
    assert method.losses(unseen, 0)["own_joints_2d"] == 0


def test_unlabelled_samples_do_not_move_the_loss(batch):
    nothing = torch.zeros(4, dtype=torch.bool)
    flags = {
        "has_mano": nothing,
        "has_vertices": nothing,
        "has_joints_3d": nothing[:, None].repeat(1, 21),
        "has_joints_2d": nothing[:, None].repeat(1, 21),
    }
    terms = method_of().losses(replace(batch, **flags), 0)
    assert all(value == 0 for name, value in terms.items() if name != "positive_scale")


def test_the_wrist_frame_knows_neither_orientation_nor_place(batch):
    mano = ManoHand(tips="freihand")
    turn = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    pose = torch.cat([turn @ batch.mano_pose[:, :1], batch.mano_pose[:, 1:]], dim=1)
    turned = mano(pose, batch.betas, torch.ones(4, 3))
    torch.testing.assert_close(
        in_wrist_frame(turned.vertices, turned.joints, pose),
        in_wrist_frame(batch.vertices, batch.joints_3d, batch.mano_pose),
        atol=1e-5,
        rtol=0,
    )


def test_frozen_blocks_get_no_gradient_and_no_group(batch):
    method = method_of(frozen_blocks=1)
    total(method, method.losses(batch, 0)).backward()
    first, second = method.backbone.trunk.blocks
    assert all(p.grad is None for p in first.parameters())
    assert all(p.grad is not None for p in second.parameters())
    grouped = {id(p) for group in method.param_groups() for p in group["params"]}
    assert not grouped & {id(p) for p in first.parameters()}


def test_groups_hold_every_trained_parameter_once_and_scale_the_backbone():
    method = method_of(backbone_lr_scale=0.1)
    groups = method.param_groups()
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    backbone = {id(p) for p in method.backbone.parameters()}
    for group in groups:
        is_backbone = id(group["params"][0]) in backbone
        assert group["lr_scale"] == (0.1 if is_backbone else 1.0)
        if group["params"][0].ndim <= 1:
            assert group["weight_decay"] == 0


def test_a_pretrained_backbone_replaces_the_random_one():
    first, second = method_of(), method_of()
    with torch.no_grad():
        first.backbone.trunk.pos_embed += 1
    second.load_backbone(first.backbone.backbone_state(), "a test")
    torch.testing.assert_close(second.backbone.trunk.pos_embed, first.backbone.trunk.pos_embed)


def test_a_backbone_of_another_architecture_is_refused():
    method = method_of()
    weights = method.backbone.backbone_state()
    del weights["blocks.1.attn.qkv.weight"]
    with pytest.raises(CheckpointMismatchError, match="a test holds"):
        method.load_backbone(weights, "a test")


def test_prediction_is_in_the_camera_it_was_given(batch):
    method = method_of().eval()
    with torch.inference_mode():
        hands = method.predict(batch)
    projected = project(hands.joints_3d[:, 0], hands.intrinsics)
    torch.testing.assert_close(projected, hands.joints_2d[:, 0])
    assert hands.confidence is None
    assert hands.ids == batch.ids


def test_larger_photos_are_resized_with_their_camera(batch):
    method = method_of().eval()
    large = torch.nn.functional.interpolate(batch.images.float(), scale_factor=2).to(torch.uint8)
    camera = batch.intrinsics.clone()
    camera[:, :2] *= 2
    with torch.inference_mode():
        small_hands = method.predict(batch)
        large_hands = method.predict(replace(batch, images=large, intrinsics=camera))
    torch.testing.assert_close(large_hands.intrinsics, batch.intrinsics)
    torch.testing.assert_close(large_hands.joints_3d, small_hands.joints_3d, atol=2e-3, rtol=0)


def test_float_images_of_another_size_are_refused(batch):
    with pytest.raises(ValueError, match="32 x 32 px, got 48 x 48"):
        method_of().predict(replace(batch, images=torch.zeros(4, 3, 48, 48)))


def test_unlabelled_batches_are_refused(batch):
    with pytest.raises(TypeError, match="HandBatch"):
        method_of().losses(ImageBatch(batch.ids, batch.images), 0)


def test_two_input_sizes_are_refused():
    with pytest.raises(ValueError, match="one input size"):
        method_of(HandAugmentationConfig(image_size=64))
