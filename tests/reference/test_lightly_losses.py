"""Our self-distillation losses against lightly's DINO and iBOT, on the same logits."""

import importlib

import pytest
import torch

from hand_pipeline.methods.self_distillation.distillation import (
    Center,
    cross_view_loss,
    patch_loss,
)
from hand_pipeline.methods.self_distillation.masking import block_masks, gather_masked
from hand_pipeline.models.torchvision_compat import ensure_torchvision

ensure_torchvision()
pytest.importorskip("lightly")
lightly_loss = importlib.import_module("lightly.loss")
LOGITS = 32


def test_class_loss_matches_lightlys_dino_over_several_steps():
    generator = torch.Generator().manual_seed(0)
    theirs = lightly_loss.DINOLoss(LOGITS, teacher_temp=0.04, student_temp=0.1)
    center = Center(LOGITS, momentum=0.9)
    for temperature in (0.04, 0.05, 0.07):
        teacher = torch.randn(2, 6, LOGITS, generator=generator)
        student = torch.randn(2, 6, LOGITS, generator=generator).requires_grad_()
        expected = theirs(list(teacher), list(student), teacher_temp=temperature)
        ours = cross_view_loss(center.targets(teacher, temperature), student, 0.1)
        center.update(teacher)
        torch.testing.assert_close(ours, expected)
        (expected_gradient,) = torch.autograd.grad(expected, student)
        (gradient,) = torch.autograd.grad(ours, student)
        torch.testing.assert_close(gradient, expected_gradient)
        torch.testing.assert_close(center.value, theirs.center.flatten())


def test_patch_loss_matches_lightlys_ibot_over_several_steps():
    generator = torch.Generator().manual_seed(0)
    theirs = lightly_loss.IBOTPatchLoss(LOGITS, teacher_temp=0.04, student_temp=0.1)
    center = Center(LOGITS, momentum=0.9)
    for temperature in (0.04, 0.05, 0.07):
        mask = block_masks(torch.tensor([0.1, 0.3, 0.5]), 6, generator=generator)
        teacher = torch.randn(3, 36, LOGITS, generator=generator)
        student = torch.randn(3, 36, LOGITS, generator=generator).requires_grad_()
        expected = theirs(
            teacher[mask], student[mask], mask.unflatten(1, (6, 6)), teacher_temp=temperature
        )
        index, weights = gather_masked(mask, 54)  # more slots than masked tokens
        logits = teacher.flatten(0, 1)[index]
        targets = center.targets(logits, temperature)
        ours = patch_loss(targets, student.flatten(0, 1)[index], weights, 0.1)
        center.update(logits, (weights > 0).float())
        torch.testing.assert_close(ours, expected)
        (expected_gradient,) = torch.autograd.grad(expected, student)
        (gradient,) = torch.autograd.grad(ours, student)
        torch.testing.assert_close(gradient, expected_gradient)
        torch.testing.assert_close(center.value, theirs.center.value.flatten())
