"""What CIRKD's mini-batch term must keep in the limit, and that nothing as large as all pairs is kept."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional import row_budget
from foglight.losses.relations.cirkd_minibatch import CIRKDMinibatch, cross_image_kl
from parity.inputs import batch, info, output

LOGITS = torch.zeros(2, 3, 6, 8, dtype=torch.float64)


def feature(channels: int, *, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, 6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(student: Tensor, teacher: Tensor, *, label: Tensor | None = None, **options: object) -> Tensor:
    ours, theirs = {"head": student}, {"head": teacher}
    loss = CIRKDMinibatch(info(LOGITS, ours), info(LOGITS, theirs), **options)
    return loss(output(LOGITS, ours), output(LOGITS, theirs), batch(len(student), label=label))["cirkd_minibatch"]


def plain(student: Tensor, teacher: Tensor, *, temperature: float = 0.1) -> Tensor:
    """The equation, pair by pair with whole matrices."""
    ours, theirs = (F.normalize(x).flatten(2) for x in (student, teacher))
    pairs = []
    for a in range(len(ours)):
        for b in range(len(ours)):
            logits, target = (x[a].T @ x[b] / temperature for x in (ours, theirs))
            pairs.append(F.kl_div(logits.log_softmax(1), target.log_softmax(1), log_target=True, reduction="batchmean"))
    return torch.stack(pairs).mean()


@pytest.mark.parametrize("budget", [1, 5000, row_budget.BUDGET])
def test_strips_give_what_whole_matrices_give(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_budget, "BUDGET", budget)
    student, teacher = feature(4).requires_grad_(), feature(6, seed=1)
    ours, expected = value(student, teacher), plain(student, teacher)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(expected, student))


def test_a_rotated_and_rescaled_feature_has_the_same_relations() -> None:
    student = feature(5).requires_grad_()
    rotation, _ = torch.linalg.qr(feature(5)[0, :, :5, 0])
    same = value(student, 3 * torch.einsum("dc,bchw->bdhw", rotation, student.detach()))
    (gradient,) = torch.autograd.grad(same, student)
    assert same.abs() < 1e-14
    assert gradient.abs().max() < 1e-14


def test_the_gradient_reaches_both_operands() -> None:
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_()
    other = feature(6)[0, :5, 0].detach()
    assert torch.autograd.gradcheck(lambda rows: cross_image_kl(rows, other, [2, 3], temperature=0.5), vectors)


def test_nothing_as_large_as_all_pairs_is_kept() -> None:
    student, largest = feature(4).requires_grad_(), 0

    def note(kept: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, kept.numel())
        return kept

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        value(student, feature(6, seed=1))
    assert largest <= student.numel()


@pytest.mark.parametrize("pool", [1, 3])
def test_ignored_positions_neither_ask_nor_answer(pool: int) -> None:
    label = torch.zeros(2, 6, 8, dtype=torch.long)
    label[:, 3:] = 255
    student, teacher = feature(4).requires_grad_(), feature(6, seed=1)
    masked = value(student, teacher, label=label, mask_ignored=True, pool=pool)
    torch.testing.assert_close(masked, value(student[:, :, :3], teacher[:, :, :3], pool=pool))
    assert not torch.autograd.grad(masked, student)[0][:, :, 3:].any()


def test_an_image_that_is_all_ignored_forms_no_pair() -> None:
    label = torch.zeros(2, 6, 8, dtype=torch.long)
    label[1] = 255
    student, teacher = feature(4), feature(6, seed=1)
    masked = value(student, teacher, label=label, mask_ignored=True)
    torch.testing.assert_close(masked, plain(student[:1], teacher[:1]))


def test_pooling_waits_for_a_grid_that_is_large_enough() -> None:
    student, teacher = feature(4), feature(6, seed=1)
    unpooled, pooled = value(student, teacher), value(student, teacher, pool=2)
    assert value(student, teacher, pool=2, pool_from=7) == unpooled
    assert value(student, teacher, pool=2, pool_from=6) == pooled != unpooled
    torch.testing.assert_close(pooled, plain(F.avg_pool2d(student, 2), F.avg_pool2d(teacher, 2)))


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"pool": 0}, {"tap": "neck"}])
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        value(feature(4), feature(4), **options)
