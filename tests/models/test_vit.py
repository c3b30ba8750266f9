import importlib

import pytest
import torch
from safetensors.torch import save_file

from hand_pipeline.models.vit import VitConfig, build_vit, load_backbone
from hand_pipeline.models.vit_weights import CheckpointMismatchError

SMALL = VitConfig(
    name="vit_tiny_patch16_224", image_size=64, embed_dim=48, depth=4, num_heads=3, drop_path=0.0
)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_unmasked_forward_equals_timms_own(images):
    vit = build_vit(SMALL).eval()
    output = vit(images, layers=(2, 4))
    tokens, inner = vit.trunk.forward_intermediates(images, indices=[1, 3], output_fmt="NLC")
    torch.testing.assert_close(output.cls, tokens[:, 0])
    torch.testing.assert_close(output.patches, tokens[:, 1:])
    torch.testing.assert_close(output.layers, inner)


def test_output_does_not_depend_on_pixels_of_masked_patches(images):
    vit = build_vit(SMALL, masking=True).eval()
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 0] = True  # the top left patch
    changed = images.clone()
    changed[:, :, :16, :16] += 5
    torch.testing.assert_close(vit(images, mask).cls, vit(changed, mask).cls)
    assert not torch.allclose(vit(images).cls, vit(changed).cls)


def test_mask_token_starts_at_zero_and_keeps_its_position(images):
    vit = build_vit(SMALL, masking=True).eval()
    assert vit.mask_token is not None
    assert vit.mask_token.abs().sum() == 0
    patches = vit(images, torch.ones(2, 16, dtype=torch.bool)).patches
    assert not torch.allclose(patches[:, 0], patches[:, 1])  # position embedding is added after


def test_mask_without_a_mask_token_is_an_error(images):
    with pytest.raises(ValueError, match="masking=True"):
        build_vit(SMALL)(images, torch.ones(2, 16, dtype=torch.bool))


def test_layer_that_does_not_exist_is_an_error(images):
    with pytest.raises(ValueError, match="1 to 4"):
        build_vit(SMALL)(images, layers=(0,))


def test_gradient_checkpointing_changes_no_gradient(images):
    torch.manual_seed(0)
    plain = build_vit(SMALL)
    spare = build_vit(SMALL.model_copy(update={"gradient_checkpointing": True}))
    spare.load_state_dict(plain.state_dict())
    for vit in (plain, spare):
        vit(images, layers=(2,)).cls.square().sum().backward()
    for a, b in zip(plain.parameters(), spare.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_weights_survive_a_file(tmp_path, images, name):
    torch.manual_seed(0)
    source = build_vit(SMALL).eval()
    state = {k: v.contiguous() for k, v in source.backbone_state().items()}
    if name.endswith("pth"):
        torch.save({"model": state}, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    copy = build_vit(SMALL.model_copy(update={"init": str(tmp_path / name)})).eval()
    torch.testing.assert_close(copy(images).cls, source(images).cls)


def test_prefixed_checkpoint_with_a_classifier_loads(tmp_path, images):
    timm = importlib.import_module("timm")  # after our models have mended torchvision
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, embed_dim=48, depth=4, num_heads=3, num_classes=7
    ).eval()
    state = {f"module.backbone.{k}": v for k, v in network.state_dict().items()}
    torch.save({"teacher": state}, tmp_path / "w.pth")
    vit = build_vit(SMALL).eval()
    load_backbone(vit, tmp_path / "w.pth")
    torch.testing.assert_close(vit(images).cls, network.forward_features(images)[:, 0])


def test_position_embedding_is_interpolated_to_another_image_size(tmp_path):
    torch.manual_seed(0)
    source = build_vit(SMALL)
    with torch.no_grad():  # an embedding linear in x: interpolation must keep it increasing in x
        source.trunk.pos_embed[:, 1:] = torch.arange(4.0).repeat(4)[None, :, None]
    save_file(
        {k: v.contiguous() for k, v in source.backbone_state().items()}, tmp_path / "w.safetensors"
    )
    larger = build_vit(
        SMALL.model_copy(update={"image_size": 128, "init": str(tmp_path / "w.safetensors")})
    )
    grid = larger.trunk.pos_embed[0, 1:, 0].reshape(8, 8)
    assert (grid.diff(dim=1) > 0).all()
    torch.testing.assert_close(grid, grid[:1].expand(8, 8), atol=1e-4, rtol=0)
    torch.testing.assert_close(larger.trunk.pos_embed[:, 0], source.trunk.pos_embed[:, 0])


def test_checkpoint_of_another_architecture_says_what_differs(tmp_path):
    other = build_vit(SMALL.model_copy(update={"depth": 5, "embed_dim": 96}))
    save_file(
        {k: v.contiguous() for k, v in other.backbone_state().items()}, tmp_path / "w.safetensors"
    )
    with pytest.raises(CheckpointMismatchError) as caught:
        build_vit(SMALL.model_copy(update={"init": str(tmp_path / "w.safetensors")}))
    message = str(caught.value)
    assert "w.safetensors" in message
    assert "not in this network (12): blocks.4." in message
    assert "expected (144, 48), got (288, 96)" in message


def test_missing_and_unsafe_files_are_clear_errors(tmp_path):
    vit = build_vit(SMALL)
    with pytest.raises(FileNotFoundError, match=r"safetensors or \.pth"):
        load_backbone(vit, tmp_path / "none.pth")
    torch.save({"model": vit}, tmp_path / "whole_module.pth")
    with pytest.raises(ValueError, match="can run code"):
        load_backbone(vit, tmp_path / "whole_module.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0")
    with pytest.raises(ValueError, match="damaged"):
        load_backbone(vit, tmp_path / "cut.safetensors")


def test_frozen_blocks_get_no_gradient_and_the_rest_does(images):
    vit = build_vit(SMALL)
    vit.freeze_blocks(2)
    vit(images).cls.sum().backward()
    frozen = {name for name, p in vit.trunk.named_parameters() if p.grad is None}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= frozen
    assert all(
        n.startswith(("cls", "pos", "patch_embed", "blocks.0.", "blocks.1.")) for n in frozen
    )
    assert not any(n.startswith(("blocks.2.", "blocks.3.", "norm.")) for n in frozen)


def test_freezing_nothing_freezes_nothing():
    vit = build_vit(SMALL)
    vit.freeze_blocks(0)
    assert all(p.requires_grad for p in vit.parameters())


def test_unknown_name_lists_near_ones():
    with pytest.raises(ValueError, match="vit_small_patch16_224"):
        build_vit(VitConfig(name="vit_smal_patch16_224"))


def test_model_without_class_token_is_refused():
    with pytest.raises(ValueError, match="class token"):
        build_vit(VitConfig(name="vit_base_patch16_gap_224"))


def test_image_size_must_be_a_multiple_of_the_patch():
    with pytest.raises(ValueError, match="multiple"):
        build_vit(SMALL.model_copy(update={"image_size": 70}))
