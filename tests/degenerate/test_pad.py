"""What PAD must say in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor

from foglight.losses.features.pad import PAD, VARIANCE_GUARD, variance_weighted_squares
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

INFO = ModelInfo(5, 8, {"head": TapInfo(6, 8)})


def feature(seed: int, *grid: int) -> Tensor:
    return torch.randn(3, 6, *grid, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(loss: PAD, student: Tensor, teacher: Tensor, *, progress: float = 0.5, label: Tensor | None = None) -> Tensor:
    logits = torch.zeros(3, 5, *student.shape[2:], dtype=torch.float64)
    given = Batch(torch.zeros(3, 3, 8, 8), label=label, progress=progress)
    return loss(ModelOutput(logits, {"head": student}), ModelOutput(logits, {"head": teacher}), given)["pad"]


def test_the_first_tenth_of_a_run_is_a_mean_square() -> None:
    student, teacher = feature(0, 4, 5), feature(1, 4, 5)
    expected = (student - teacher).square().mean() / (1 + VARIANCE_GUARD)
    loss = PAD(INFO, INFO).double()
    torch.testing.assert_close(value(loss, student, teacher, progress=0.09), expected)
    assert value(loss, student, teacher, progress=0.1) != expected


def test_the_best_variance_is_the_squared_error() -> None:
    student, teacher = feature(0), feature(1)
    squares = (student - teacher).square()
    best = (squares - VARIANCE_GUARD).clamp(min=1e-3).log().requires_grad_()
    gradient = torch.autograd.grad(variance_weighted_squares(student, teacher, best).sum(), best)[0]
    usual = squares > 2e-3
    torch.testing.assert_close(gradient[usual], torch.zeros_like(gradient[usual]), rtol=0, atol=1e-3)


def test_it_may_fall_below_zero_where_the_student_is_sure_and_right() -> None:
    same = feature(0)
    assert variance_weighted_squares(same, same, torch.full_like(same, -5.0)).mean() == -5


def test_a_sure_student_is_taught_harder() -> None:
    student, teacher = feature(0).requires_grad_(), feature(1)
    steps = [
        torch.autograd.grad(variance_weighted_squares(student, teacher, torch.full_like(teacher, v)).sum(), student)[0]
        for v in (0.0, 1.0)
    ]
    torch.testing.assert_close(steps[0] / steps[1], torch.full_like(teacher, torch.e), rtol=1e-5, atol=0)


def test_the_gradient_through_the_variance_can_be_cut() -> None:
    student, teacher = feature(0, 4, 5).requires_grad_(), feature(1, 4, 5)
    loss = PAD(INFO, INFO, detach_variance_input=True, bound=1e-9).double()
    free = PAD(INFO, INFO).double()
    found = torch.autograd.grad(value(loss, student, teacher), student)[0]
    torch.testing.assert_close(found, 2 * (student - teacher) / student.numel(), rtol=1e-5, atol=0)
    free.load_state_dict(loss.state_dict())
    cut = PAD(INFO, INFO, detach_variance_input=True).double()
    cut.load_state_dict(loss.state_dict())
    assert torch.equal(value(free, student, teacher), value(cut, student, teacher))
    assert not torch.equal(
        torch.autograd.grad(value(free, student, teacher), student)[0],
        torch.autograd.grad(value(cut, student, teacher), student)[0],
    )


def test_a_vector_is_one_position() -> None:
    element, sample = PAD(INFO, INFO).double(), PAD(INFO, INFO, granularity="sample").double()
    sample.load_state_dict(element.state_dict())
    student, teacher = feature(0), feature(1)
    assert value(element, student, teacher) == value(sample, student, teacher)
    torch.testing.assert_close(
        value(element, student, teacher), value(element, student[..., None, None], teacher[..., None, None])
    )


@pytest.mark.parametrize(
    ("granularity", "shape"), [("element", (3, 6, 4, 5)), ("pixel", (3, 1, 4, 5)), ("sample", (3, 6, 1, 1))]
)
def test_variances_are_as_fine_as_asked_for(granularity: str, shape: tuple[int, ...]) -> None:
    loss, seen = PAD(INFO, INFO, granularity=granularity).double(), list[tuple[int, ...]]()
    loss.variance.register_forward_hook(lambda module, given, found: seen.append(tuple(found.shape)))
    value(loss, feature(0, 4, 5), feature(1, 4, 5))
    assert seen == [shape]


def test_the_sum_over_images_is_as_many_means() -> None:
    mean, total = PAD(INFO, INFO).double(), PAD(INFO, INFO, reduction="sum").double()
    total.load_state_dict(mean.state_dict())
    student, teacher = feature(0, 4, 5), feature(1, 4, 5)
    torch.testing.assert_close(value(total, student, teacher), 3 * value(mean, student, teacher))


def test_masked_positions_can_be_left_out() -> None:
    loss = PAD(INFO, INFO, mask_ignored=True).double()
    student, teacher = feature(0, 4, 5).requires_grad_(), feature(1, 4, 5)
    label = torch.zeros(3, 4, 5, dtype=torch.long)
    label[:, :, 2:] = 255
    found = torch.autograd.grad(value(loss, student, teacher, progress=0.0, label=label), student)[0]
    assert found[..., :2].all()
    assert not found[..., 2:].any()
