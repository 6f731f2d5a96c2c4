"""What DSD must keep in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor

from foglight.losses.relations.dsd import DSD, attention, class_gram
from foglight.types import TapInfo
from parity.inputs import batch, info, output

Maps = tuple[Tensor, Tensor]


def maps(channels: int, *, seed: int = 0) -> Maps:
    """A feature and logits."""
    generator = torch.Generator().manual_seed(seed)
    feature, logits = (torch.randn(2, c, 7, 9, generator=generator, dtype=torch.float64) for c in (channels, 3))
    return feature, logits


def terms(student: Maps, teacher: Maps, *, label: Tensor | None = None, **options: object) -> dict[str, Tensor]:
    ours, theirs = {"head": student[0]}, {"head": teacher[0]}
    loss = DSD(info(student[1], ours), info(teacher[1], theirs), **{"taps": ("head",), **options})
    return loss(output(student[1], ours), output(teacher[1], theirs), batch(2, label=label))


def test_the_teacher_itself_is_at_zero() -> None:
    feature, logits = maps(4)
    leaves = [feature.clone().requires_grad_(), logits.clone().requires_grad_()]
    found = terms((leaves[0], leaves[1]), (feature, logits))
    assert found["dsd_pixel"] == found["dsd_class"] == 0
    for term in found.values():
        gradients = torch.autograd.grad(term, leaves, retain_graph=True, materialize_grads=True)
        assert not any(gradient.any() for gradient in gradients)


def test_the_pixel_term_does_not_see_scales_and_the_class_term_not_constants() -> None:
    feature, logits = maps(4)
    teacher = maps(6, seed=1)
    plain, changed = terms((feature, logits), teacher), terms((5 * feature, logits), teacher)
    torch.testing.assert_close(changed["dsd_pixel"], plain["dsd_pixel"])
    shifted = terms((feature, logits + torch.tensor([1.0, -2.0, 7.0]).double()[:, None, None]), teacher)
    torch.testing.assert_close(shifted["dsd_class"], plain["dsd_class"])


def test_the_residual_of_two_layers_is_their_difference_at_length_one() -> None:
    student, teacher = maps(4), maps(6, seed=1)

    def residual(feature: Tensor, logits: Tensor) -> Tensor:
        earlier, later = (x.square().mean(1).flatten(1) for x in (feature, logits))
        difference = later / later.norm(dim=1, keepdim=True) - earlier / earlier.norm(dim=1, keepdim=True)
        return difference / difference.norm(dim=1, keepdim=True)

    expected = (residual(*student) - residual(*teacher)).square().mean()
    torch.testing.assert_close(terms(student, teacher)["dsd_pixel"], expected)


def test_disjoint_classes_do_not_overlap() -> None:
    logits = torch.full((1, 2, 1, 4), -1e4, dtype=torch.float64)
    logits[0, 0, 0, :2], logits[0, 1, 0, 2:] = 0.0, 0.0
    expected = torch.tensor([[[0.5, 0.0], [0.0, 0.5]]], dtype=torch.float64)
    torch.testing.assert_close(class_gram(logits, None, temperature=1.0, pool=1), expected)


def test_ignored_positions_teach_nothing() -> None:
    label = torch.zeros(2, 7, 9, dtype=torch.long)
    label[:, 4:] = 255
    student, teacher = maps(4), maps(6, seed=1)
    leaves = [values.clone().requires_grad_() for values in student]
    masked = terms((leaves[0], leaves[1]), teacher, label=label, mask_ignored=True)
    cut = [(feature[:, :, :4], logits[:, :, :4]) for feature, logits in (student, teacher)]
    for name, expected in terms(*cut).items():
        torch.testing.assert_close(masked[name], expected)
        gradients = torch.autograd.grad(masked[name], leaves, retain_graph=True, materialize_grads=True)
        assert not any(gradient[:, :, 4:].any() for gradient in gradients)


def test_attention_has_length_one() -> None:
    torch.testing.assert_close(attention(maps(4)[0], None).norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_taps_must_pair_up_and_have_a_grid() -> None:
    student = info(torch.zeros(1, 3, 2, 2), {"head": torch.zeros(1, 4, 2, 2)})
    with pytest.raises(ValueError, match="as many taps"):
        DSD(student, student, student_taps=("head",), teacher_taps=("head", "head"))
    with pytest.raises(ValueError, match="expected one of the taps head, got 'layer4'"):
        DSD(student, student)
    pooled = type(student)(3, 8, {"layer4": TapInfo(4, 8), "head": TapInfo(4, 0)})
    with pytest.raises(ValueError, match="with a grid"):
        DSD(pooled, pooled)
