import pytest
import torch

from hand_pipeline.geometry import affine2d, camera, procrustes, rotation, topology
from hand_pipeline.geometry.mano import ManoHand


def everything(device: str, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """What a training step computes, from fixed inputs."""
    seeded = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=seeded).to(dtype).float().to(device, dtype)

    hand = ManoHand().to(device)
    turns = rotation.rotation_6d_to_matrix(draw(4, 16, 6))
    angles = rotation.matrix_to_axis_angle(rotation.axis_angle_to_matrix(draw(4, 16, 3)))
    mesh = hand(turns, draw(4, 10), draw(4, 3))
    k = camera.default_intrinsics(224, 224, 300.0).expand(4, 3, 3).to(device)
    box = torch.tensor([[10.0, 10, 200, 200]]).expand(4, 4).to(device)
    turn = affine2d.rotation(draw(4), draw(4, 2) * 224)
    warp = affine2d.compose(affine2d.crop_matrix(box, 112), turn)
    whole = affine2d.compose(k, warp)  # the camera of the warped image
    weak = draw(4, 3) + 1
    results = {
        "vertices": mesh.vertices,
        "normals": topology.vertex_normals(mesh.vertices, hand.faces),
        "angles": angles,
        "geodesic": rotation.geodesic_angle(turns, turns.mT),
        "stored": hand.stored_pose(hand.full_pose(draw(4, 48), False), True),
        "pixels": camera.project(mesh.joints + 1, whole),
        "placed": camera.weak_perspective_to_translation(weak, k, 224),
        "moved": affine2d.apply_affine(affine2d.invert(warp), draw(4, 21, 2) * 224),
    }
    for padding_mode in ("zeros", "reflection", "border"):
        images = draw(4, 3, 224, 224)
        results[padding_mode] = affine2d.warp_images(images, warp, (80, 80), padding_mode)
    if device != "meta":
        results["factors"] = torch.cat(camera.factor_intrinsics(whole))
        results["aligned"] = procrustes.procrustes_align(mesh.joints, draw(4, 21, 3))
    return results


def test_autocast_changes_nothing() -> None:
    expected = everything("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = everything("cpu")
    for name, value in expected.items():
        assert found[name].dtype == torch.float32, name
        torch.testing.assert_close(found[name], value, atol=1e-3, rtol=1e-5, msg=name)


def test_half_precision_inputs_give_full_precision_results() -> None:
    for name, value in everything("cpu", torch.bfloat16).items():
        assert value.dtype == torch.float32, name


def test_a_training_steps_geometry_never_looks_at_a_value() -> None:
    """The meta device has shapes and no values: whatever would stop a GPU fails here."""
    for name, value in everything("meta").items():
        assert value.is_meta, name


def test_looking_at_a_value_would_be_noticed() -> None:
    with pytest.raises(RuntimeError):
        bool((torch.zeros(3, device="meta") > 0).any())
