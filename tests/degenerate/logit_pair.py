"""A student's and a teacher's logits with labels, a tenth or so ignored, and what a loss makes of them."""

import torch
from torch import Tensor

from foglight.losses.base import DistillationLoss
from foglight.types import Batch, ModelInfo, ModelOutput

CLASSES = 5
INFO = ModelInfo(CLASSES, 8, align_corners=True)
SHAPE = (2, CLASSES, 4, 6)


def logits(*shape: int, seed: int = 0, classes: int = CLASSES) -> Tensor:
    shape = shape or (2, classes, 4, 6)
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STUDENT, TEACHER = logits(), logits(seed=1)
LABEL = torch.randint(CLASSES, (2, 4, 6), generator=torch.Generator().manual_seed(2))
LABEL[0, 0] = 255
VALID = LABEL != 255


def batch(label: Tensor | None = LABEL, *, step: int = 0) -> Batch:
    return Batch(torch.zeros(2, 3, 4, 6), label=label, step=step)


def value_and_gradient(
    loss: DistillationLoss, student: Tensor = STUDENT, teacher: Tensor = TEACHER, given: Batch | None = None
) -> tuple[Tensor, Tensor]:
    leaf = student.clone().requires_grad_()
    terms = loss(ModelOutput(leaf), ModelOutput(teacher), batch() if given is None else given)
    total = torch.stack(list(terms.values())).sum()
    return total.detach(), torch.autograd.grad(total, leaf)[0]


def assert_same_loss(one: DistillationLoss, other: DistillationLoss, **given: Batch) -> None:
    torch.testing.assert_close(value_and_gradient(one, **given), value_and_gradient(other, **given))


def at_label(values: Tensor) -> Tensor:
    return values.gather(1, torch.where(VALID, LABEL, 0).unsqueeze(1)).squeeze(1)[VALID]
