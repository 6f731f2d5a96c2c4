"""Is the pass over strips of the upsampled logits the plain computation, in value and in gradient?"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional import upsampling
from foglight.functional.upsampled_cross_entropy_kl import upsampled_cross_entropy_and_kl
from foglight.functional.upsampling import upsampling as upsampling_of

CLASSES, SIZE = 5, (37, 24)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STUDENT, TEACHER = numbers(2, CLASSES, 4, 6, seed=0), 3 * numbers(2, CLASSES, 9, 11, seed=1)
LABEL = torch.randint(CLASSES, (2, *SIZE), generator=torch.Generator().manual_seed(2))
LABEL[numbers(2, *SIZE, seed=3) > 1] = 255
CLASS_WEIGHTS, PIXEL_WEIGHT = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0]).double(), numbers(2, 1, *SIZE, seed=4).exp()


def plain(
    student: Tensor,
    teacher: Tensor,
    label: Tensor,
    *,
    align_corners: tuple[bool, bool],
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    mask_ignored: bool = False,
    **_: int,
) -> tuple[Tensor, Tensor]:
    ours, theirs = (
        F.interpolate(logits, SIZE, mode="bilinear", align_corners=corners)
        for logits, corners in zip((student, teacher), align_corners, strict=True)
    )
    weight = torch.ones(2, 1, *SIZE).double() if pixel_weight is None else pixel_weight
    mass = (torch.ones(CLASSES).double() if class_weights is None else class_weights)[label.clamp(max=CLASSES - 1)]
    values = F.cross_entropy(ours, label, weight=class_weights, ignore_index=255, reduction="none")
    s, t = (logits.div(temperature).softmax(1) for logits in (ours, theirs))
    taught = (label != 255).unsqueeze(1) if mask_ignored else torch.ones_like(weight).bool()
    divergence = (weight * taught * t * (t.log() - s.log())).sum() / taught.sum()
    return (values * weight.squeeze(1)).sum() / mass[label != 255].sum(), divergence


def both(function: Callable[..., tuple[Tensor, Tensor]], student: Tensor, **options: object) -> list[Tensor]:
    leaf = student.clone().requires_grad_()
    terms = function(leaf, TEACHER, LABEL, ignore_index=255, **options)
    return [*terms, *(torch.autograd.grad(term, leaf, retain_graph=True)[0] for term in terms)]


@pytest.mark.parametrize("budget", [1, 60_000, upsampling.STRIP_BUDGET])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 4.0},
        {"class_weights": CLASS_WEIGHTS, "mask_ignored": True},
        {"pixel_weight": PIXEL_WEIGHT},
        {"pixel_weight": PIXEL_WEIGHT, "class_weights": CLASS_WEIGHTS, "mask_ignored": True, "temperature": 0.5},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize("corners", [(True, True), (False, False), (True, False)])
def test_one_pass_is_two_losses(
    corners: tuple[bool, bool], options: dict[str, object], budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsampling, "STRIP_BUDGET", budget)
    ours = both(upsampled_cross_entropy_and_kl, STUDENT, align_corners=corners, **options)
    expected = both(plain, STUDENT, align_corners=corners, **options)
    for mine, reference in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("grid", [(1, 1), SIZE, (37, 5), (6, 24), (50, 30)])
def test_any_grid_of_the_student(grid: tuple[int, int]) -> None:
    student = numbers(2, CLASSES, *grid, seed=5)
    ours = both(upsampled_cross_entropy_and_kl, student, align_corners=(False, True))
    expected = both(plain, student, align_corners=(False, True))
    for mine, reference in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


def test_nothing_counts_without_labels() -> None:
    student = STUDENT.clone().requires_grad_()
    ignored = torch.full_like(LABEL, 255)
    terms = upsampled_cross_entropy_and_kl(
        student, TEACHER, ignored, ignore_index=255, align_corners=(True, True), mask_ignored=True
    )
    assert [term.item() for term in terms] == [0.0, 0.0]
    (slope,) = torch.autograd.grad(terms[0] + terms[1], student)
    assert not slope.any()


def test_nothing_of_the_labels_size_is_kept() -> None:
    student, saved = STUDENT.clone().requires_grad_(), list[Tensor]()
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: saved.append(kept) or kept, lambda kept: kept):
        upsampled_cross_entropy_and_kl(student, TEACHER, LABEL, ignore_index=255, align_corners=(True, True))
    assert max(kept.numel() for kept in saved) == STUDENT.numel()


def test_strips_and_their_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsampling, "STRIP_BUDGET", 10_000)
    cut = upsampling_of(STUDENT, SIZE, align_corners=False, matrices=1)
    assert len(cut.strips) > 1
    whole = F.interpolate(STUDENT, SIZE, mode="bilinear", align_corners=False)[1].movedim(1, 0)
    wide = cut.widened(STUDENT[1])
    torch.testing.assert_close(torch.cat([strip.upsample(wide) for strip in cut.strips]), whole)
    slope, total = numbers(SIZE[0], CLASSES, SIZE[1], seed=6), torch.zeros_like(wide)
    for strip in cut.strips:
        strip.add_transposed(slope[strip.where], total)
    torch.testing.assert_close((cut.narrowed(total) * STUDENT[1]).sum(), (slope * whole).sum())


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        upsampled_cross_entropy_and_kl(
            STUDENT, TEACHER, LABEL, ignore_index=255, align_corners=(True, True), temperature=0.0
        )
