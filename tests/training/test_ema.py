import pytest
import torch
from torch import nn

from hand_pipeline.training.ema import freeze, update_teacher


def test_teacher_moves_by_one_minus_momentum():
    teacher, student = freeze(nn.Linear(3, 2)), nn.Linear(3, 2)
    before = teacher.weight.clone()
    update_teacher(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, 0.9 * before + 0.1 * student.weight)


def test_momentum_one_changes_nothing_and_zero_copies():
    teacher, student = freeze(nn.Linear(3, 2)), nn.Linear(3, 2)
    before = teacher.weight.clone()
    update_teacher(teacher, student, 1.0)
    assert torch.equal(teacher.weight, before)
    update_teacher(teacher, student, 0.0)
    assert torch.equal(teacher.weight, student.weight)


def test_student_may_have_more_but_not_fewer_parameters():
    small, large = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    update_teacher(small, large, 0.5)
    with pytest.raises(KeyError, match=r"1\.bias, 1\.weight"):
        update_teacher(large, small, 0.5)


def test_frozen_module_has_no_gradients_and_does_not_drop():
    module = freeze(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9)))
    assert not any(p.requires_grad for p in module.parameters())
    assert not module[1].training
