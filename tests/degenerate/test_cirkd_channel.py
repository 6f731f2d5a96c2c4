"""Channels must be compared as vectors of positions, on a grid that does not depend on the crop."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.losses.contrastive.cirkd_channel import CIRKDChannel, pooled
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo


def terms(loss: CIRKDChannel, student: Tensor, teacher: Tensor, *, step: int = 0) -> dict[str, Tensor]:
    logits = torch.zeros(len(student), 2, 1, 1)
    given = Batch(torch.zeros(len(student), 3, 8, 8), step=step)
    return loss(ModelOutput(logits, {"head": student}), ModelOutput(logits, {"head": teacher}), given)


def built(**sizes: int) -> CIRKDChannel:
    info = ModelInfo(2, 8, {"head": TapInfo(3, 8)})
    return CIRKDChannel(info, info, grid=(2, 3), **{"memory_size": 10, **sizes})


def maps(*grid: int) -> Tensor:
    return torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(0))


def test_the_published_pooling_where_the_crop_fits() -> None:
    feature = maps(9, 13)
    assert torch.equal(pooled(feature, 4, (2, 3)), F.avg_pool2d(feature, 4))


@pytest.mark.parametrize("grid", [(3, 3), (8, 12), (20, 9)])
def test_any_crop_gives_keys_of_one_length(grid: tuple[int, int]) -> None:
    loss, student = built(), maps(*grid).requires_grad_()
    values = terms(loss, student, maps(*grid))
    assert all(
        torch.isfinite(torch.autograd.grad(value, student, retain_graph=True)[0]).all() for value in values.values()
    )
    assert loss.memory.stored(0).shape == (6, 6)


def test_a_student_that_is_the_teacher_has_nothing_to_learn() -> None:
    loss = built()
    teacher = maps(8, 12)
    loss.projector = torch.nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    for value in terms(loss, 7 * teacher, teacher).values():
        assert abs(value.item()) < 1e-6


def test_a_step_stores_at_most_its_share_and_the_oldest_goes_first() -> None:
    loss = built(update_size=4)
    for step in range(3):
        before = loss.memory.stored(0)
        terms(loss, maps(8, 12), maps(8, 12), step=step)
        assert loss.memory.count.item() == min(4 * (step + 1), 10)
    assert torch.equal(loss.memory.stored(0)[:6], before[2:])
