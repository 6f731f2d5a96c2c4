"""Strips must give what one big matrix gives, keep nothing of its size, and hold where a vector has no direction."""

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from foglight.functional import row_budget
from foglight.functional.similarity_kl import similarity_kl


def inputs(*, channels: int = 4, keys: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, channels, 3, 5, generator=generator, dtype=torch.float64)
    stored = F.normalize(torch.randn(keys, channels, generator=generator, dtype=torch.float64), dim=1)
    valid = torch.rand(2, 3, 5, generator=generator) < 0.7
    return student.requires_grad_(), teacher, stored, valid


def naive(student: Tensor, teacher: Tensor, keys: Tensor, valid: Tensor, *, temperature: float) -> Tensor:
    rows = [F.normalize(values, dim=1).permute(0, 2, 3, 1)[valid] for values in (student, teacher)]
    ours, theirs = (row @ keys.T / temperature for row in rows)
    return F.kl_div(ours.log_softmax(1), theirs.log_softmax(1), log_target=True, reduction="batchmean")


@pytest.mark.parametrize("budget", [1, 400, 2**20], ids=["row by row", "strips", "at once"])
def test_strips_agree_with_one_matrix(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_budget, "BUDGET", budget)
    student, teacher, keys, valid = inputs()
    ours, truth = (loss(student, teacher, keys, valid, temperature=0.1) for loss in (similarity_kl, naive))
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=0.0)
    found, expected = (torch.autograd.grad(3 * value, student)[0] for value in (ours, truth))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_nothing_of_anchors_by_keys_is_kept() -> None:
    student, teacher, keys, valid = inputs(keys=500)
    kept: list[Tensor] = []
    with saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        similarity_kl(student, teacher, keys, valid, temperature=0.1)
    assert sum(tensor.numel() for tensor in kept) == student.numel()


def test_the_length_of_neither_side_matters() -> None:
    student, teacher, keys, valid = inputs()
    same = similarity_kl(5 * teacher.requires_grad_(), teacher, keys, valid, temperature=0.1)
    assert abs(same.item()) < 1e-12
    value = similarity_kl(student, teacher, keys, valid, temperature=0.1)
    (gradient,) = torch.autograd.grad(value, student)
    assert (gradient * student).sum(1).abs().max() < 1e-14


def test_no_direction_no_gradient() -> None:
    student, teacher, keys, valid = inputs()
    blank = torch.zeros_like(student, requires_grad=True)
    value = similarity_kl(blank, teacher, keys, valid, temperature=0.1)
    assert value > 0
    assert not torch.autograd.grad(value, blank)[0].any()


@pytest.mark.parametrize("empty", ["positions", "keys"])
def test_nothing_to_compare_is_zero_with_a_graph(empty: str) -> None:
    student, teacher, keys, valid = inputs()
    valid, keys = (torch.zeros_like(valid), keys) if empty == "positions" else (valid, keys[:0])
    value = similarity_kl(student, teacher, keys, valid, temperature=0.1)
    assert value.item() == 0
    assert not torch.autograd.grad(value, student)[0].any()


def test_sharp_float32_stays_finite() -> None:
    student, teacher, keys, valid = (tensor.detach() for tensor in inputs())
    student = student.float().requires_grad_()
    value = similarity_kl(student, teacher.float(), keys.float(), valid, temperature=1e-4)
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, student)[0]).all()
