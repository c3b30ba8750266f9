"""A teacher whose weights are the exponential moving average (EMA) of its student's."""

import torch
from torch import nn


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher = momentum * teacher + (1 - momentum) * student, for every teacher parameter.

    Parameters are paired by name; the student may have more (a mask token), not fewer. Buffers are
    not averaged, as in iBOT.

    Args:
        teacher: changed in place.
        student: the network being trained.
        momentum: in [0, 1]; 1 leaves the teacher as it is.

    Raises:
        KeyError: the student lacks a parameter of the teacher.
    """
    teacher_parameters = dict(teacher.named_parameters())
    student_parameters = dict(student.named_parameters())
    if missing := sorted(teacher_parameters.keys() - student_parameters.keys()):
        raise KeyError(f"the student lacks parameters of the teacher: {', '.join(missing)}")
    torch._foreach_lerp_(
        list(teacher_parameters.values()),
        [student_parameters[name] for name in teacher_parameters],
        1 - momentum,
    )


def freeze(module: nn.Module) -> nn.Module:
    """Switch off gradients, set eval mode (for a teacher), and return the module."""
    return module.requires_grad_(False).eval()
