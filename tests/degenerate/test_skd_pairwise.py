"""What SKD's pair-wise term must keep in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional import row_budget
from foglight.losses.relations.skd_pairwise import SKDPairwise, pairwise_error
from parity.inputs import batch, info, output

LOGITS = torch.zeros(2, 3, 7, 9, dtype=torch.float64)


def feature(channels: int, *, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, 7, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(student: Tensor, teacher: Tensor, *, label: Tensor | None = None, **options: object) -> Tensor:
    ours, theirs = {"head": student}, {"head": teacher}
    loss = SKDPairwise(info(LOGITS, ours), info(LOGITS, theirs), **options)
    return loss(output(LOGITS, ours), output(LOGITS, theirs), batch(2, label=label))["skd_pairwise"]


def plain(student: Tensor, teacher: Tensor) -> Tensor:
    """The equation, with whole matrices."""
    ours, theirs = (F.normalize(F.max_pool2d(x, 2, ceil_mode=True)).flatten(2) for x in (student, teacher))
    return (ours.transpose(1, 2) @ ours - theirs.transpose(1, 2) @ theirs).square().mean()


@pytest.mark.parametrize("budget", [1, 2000, row_budget.BUDGET])
def test_strips_give_what_whole_matrices_give(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_budget, "BUDGET", budget)
    student, teacher = feature(4).requires_grad_(), feature(6, seed=1)
    ours, expected = value(student, teacher), plain(student, teacher)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(expected, student))


def test_a_rotated_and_rescaled_feature_has_the_same_relations() -> None:
    student = F.max_pool2d(feature(6), 2, ceil_mode=True)
    rotation, _ = torch.linalg.qr(feature(6)[0, :, :6, 0])
    teacher = 3 * torch.einsum("dc,bchw->bdhw", rotation, student)
    student.requires_grad_()
    same = value(student, teacher, pool=1)
    (gradient,) = torch.autograd.grad(same, student)
    assert same < 1e-28
    assert gradient.abs().max() < 1e-15


def test_the_gradient_through_the_length_keeps_the_length() -> None:
    student = feature(4).requires_grad_()
    through, stopped = (
        torch.autograd.grad(value(student, feature(6, seed=1), pool=1, norm_gradient=through), student)[0]
        for through in (True, False)
    )
    assert (through * student).sum(1).abs().max() < 1e-15
    assert (stopped * student).sum(1).abs().max() > 1e-4


def test_ignored_positions_teach_nothing() -> None:
    label = torch.zeros(2, 7, 9, dtype=torch.long)
    label[:, 3:] = 255
    student, teacher = feature(4).requires_grad_(), feature(6, seed=1)
    masked = value(student, teacher, label=label, mask_ignored=True)
    (gradient,) = torch.autograd.grad(masked, student)
    torch.testing.assert_close(masked, plain(student[:, :, :3], teacher[:, :, :3]))
    assert not gradient[:, :, 3:].any()


def test_the_value_does_not_cancel_near_convergence() -> None:
    teacher = feature(64)
    student = teacher + 1e-3 * feature(64, seed=1)
    torch.testing.assert_close(
        value(student.float(), teacher.float()).double(), plain(student, teacher), rtol=1e-3, atol=0
    )


def test_the_gradient_is_right_and_has_no_graph_of_its_own() -> None:
    student, teacher = feature(4)[:, :, 0].transpose(1, 2).requires_grad_(), feature(6)[:, :, 0].transpose(1, 2)
    assert torch.autograd.gradcheck(lambda nodes: pairwise_error(nodes, teacher), student)
    (gradient,) = torch.autograd.grad(pairwise_error(student, teacher), student, create_graph=True)
    assert not gradient.requires_grad


@pytest.mark.parametrize("options", [{"pool": 0}, {"node_share": 0.0}, {"node_share": 1.5}, {"tap": "neck"}])
def test_what_cannot_be_pooled_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        value(feature(4), feature(4), **options)
