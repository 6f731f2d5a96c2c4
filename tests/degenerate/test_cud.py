"""Truths that cud and focal_entropy keep in the limit, without any reference numbers."""

from collections.abc import Callable

import pytest
import torch
from logit_pair import CLASSES, INFO, LABEL, SHAPE, STUDENT, TEACHER, VALID, assert_same_loss, batch, value_and_gradient
from torch import Tensor

from foglight.functional.entropy import entropy
from foglight.losses.logits.cud import CUD, clip_wrong_mass
from foglight.losses.logits.kd import KD
from foglight.losses.task.cross_entropy import CrossEntropy
from foglight.losses.task.focal_entropy import FocalEntropy


def clipped(**options: float) -> tuple[Tensor, Tensor, Tensor]:
    """The teacher's distribution, the clipped one and where it was wrong."""
    log_probability, label = TEACHER.log_softmax(1), torch.where(VALID, LABEL, 0)
    target, _ = clip_wrong_mass(log_probability, label, VALID, **options)
    return log_probability.exp(), target.exp(), VALID & (TEACHER.argmax(1) != LABEL)


def test_cud_without_anything_wrong_is_kd() -> None:
    kd = KD(INFO, INFO, temperature=2.0)
    for label in (TEACHER.argmax(1), torch.full_like(LABEL, 255), None):
        given = batch(label)
        for left, right in zip(
            value_and_gradient(CUD(INFO, INFO, temperature=2.0), given=given),
            value_and_gradient(kd, given=given),
            strict=True,
        ):
            torch.testing.assert_close(left, right)


def test_clipping_moves_mass_from_the_wrong_class_to_the_label_and_nothing_else() -> None:
    before, after, wrong = clipped()
    torch.testing.assert_close(after.sum(1), torch.ones_like(after[:, 0]))
    right = ~wrong.unsqueeze(1).expand_as(after)
    assert torch.equal(after[right], before[right])
    rows, labels = wrong.nonzero(as_tuple=True), LABEL[wrong]
    p, q = (values.movedim(1, -1)[rows] for values in (before, after))
    leader, index = p.argmax(1), torch.arange(len(labels))
    assert (q[index, labels] >= q[index, leader]).all()
    assert (q[index, labels] > p[index, labels]).all()
    untouched = torch.ones_like(p, dtype=torch.bool)
    untouched[index, labels] = untouched[index, leader] = False
    torch.testing.assert_close(q[untouched], p[untouched])


def test_the_budget_and_the_margin_bound_what_moves() -> None:
    before, _, wrong = clipped()
    label = torch.where(VALID, LABEL, 0)
    for eta, margin in ((0.1, 1.0), (0.99, 0.2)):
        _, moved = clip_wrong_mass(before.log(), label, VALID, eta=eta, margin=margin)
        lead = before.amax(1) - before.gather(1, label.unsqueeze(1)).squeeze(1)
        expected = torch.minimum(eta * before.amax(1), margin * lead)
        torch.testing.assert_close(moved.squeeze(1), torch.where(wrong, expected, 0.0))


def test_a_random_receiver_gets_the_mass_instead_and_is_never_the_wrong_class() -> None:
    loss = CUD(INFO, INFO, receiver="random")
    given = batch()
    target = loss._target(TEACHER, given).exp()
    before, after, wrong = clipped()
    leader = before.argmax(1, keepdim=True)
    torch.testing.assert_close(target.gather(1, leader), after.gather(1, leader))
    assert ((target - before).amax(1) > 0)[wrong].all()
    torch.testing.assert_close(target.sum(1), torch.ones_like(target[:, 0]))
    assert not torch.allclose(target, after)


def test_a_teacher_temperature_divides_the_teachers_logits() -> None:
    torch.testing.assert_close(
        value_and_gradient(CUD(INFO, INFO, teacher_temperature=2.0)),
        value_and_gradient(CUD(INFO, INFO), STUDENT, TEACHER / 2),
    )


def test_clipping_at_one_and_at_the_training_temperature_agree_only_at_one() -> None:
    assert_same_loss(CUD(INFO, INFO, clip_at_one=True), CUD(INFO, INFO))
    early, late = (CUD(INFO, INFO, temperature=4.0, clip_at_one=first) for first in (True, False))
    assert not torch.allclose(value_and_gradient(early)[0], value_and_gradient(late)[0])


def test_near_borders_the_teacher_is_believed() -> None:
    label = torch.zeros(2, 4, 6, dtype=torch.long)
    label[:, :, 3:] = 1
    loss, plain = CUD(INFO, INFO, border_band=1), CUD(INFO, INFO)
    banded, everywhere = (each._target(TEACHER, batch(label)) for each in (loss, plain))
    assert torch.equal(banded[..., 2:4], TEACHER.log_softmax(1)[..., 2:4])
    assert torch.equal(banded[..., [0, 1, 4, 5]], everywhere[..., [0, 1, 4, 5]])


def test_cud_reports_how_much_it_moved() -> None:
    loss = CUD(INFO, INFO)
    value_and_gradient(loss)
    before, after, wrong = clipped()
    moved = (after - before).gather(1, torch.where(VALID, LABEL, 0).unsqueeze(1)).squeeze(1)
    assert loss.statistics().values == pytest.approx(
        {
            "wrong_frac": wrong.sum().item() / VALID.sum().item(),
            "mean_delta": moved[wrong].mean().item(),
            "overtake_frac": (after.argmax(1) == LABEL)[wrong].double().mean().item(),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_entropy_without_weight_and_bonus_is_cross_entropy(smoothing: float) -> None:
    control = FocalEntropy(INFO, factor="one", entropy_weight=0.0, label_smoothing=smoothing)
    assert_same_loss(control, CrossEntropy(INFO, label_smoothing=smoothing))
    wide = batch(torch.randint(CLASSES, (2, 9, 13), generator=torch.Generator().manual_seed(4)))
    assert_same_loss(control, CrossEntropy(INFO, label_smoothing=smoothing), given=wide)


def test_focal_entropy_weights_saturate_at_the_cap_and_carry_no_gradient() -> None:
    even = torch.zeros(SHAPE, dtype=torch.float64)
    plain = value_and_gradient(CrossEntropy(INFO), even)
    for factor, times in (("w", 3.0), ("1+w", 4.0)):
        hard = value_and_gradient(FocalEntropy(INFO, factor=factor, entropy_weight=0.0), even)
        torch.testing.assert_close(hard, (times * plain[0], times * plain[1]))


def test_focal_entropy_with_an_open_gate_is_the_confidence_penalty() -> None:
    loss = FocalEntropy(INFO, factor="one", gate="one", entropy_weight=0.2)
    bonus = entropy(STUDENT.log_softmax(1)).squeeze(1)[VALID].mean() / torch.tensor(CLASSES).log()
    torch.testing.assert_close(
        value_and_gradient(loss)[0], value_and_gradient(CrossEntropy(INFO))[0] - 0.2 * bonus, rtol=1e-6, atol=0
    )


def test_the_wrong_gate_leaves_right_pixels_sharp() -> None:
    label = STUDENT.argmax(1)
    gated, bare = (FocalEntropy(INFO, gate="wrong", entropy_weight=weight) for weight in (0.5, 0.0))
    for left, right in zip(
        value_and_gradient(gated, given=batch(label)), value_and_gradient(bare, given=batch(label)), strict=True
    ):
        torch.testing.assert_close(left, right)
    assert value_and_gradient(gated)[0] < value_and_gradient(bare)[0]


@pytest.mark.parametrize(
    "build",
    [
        lambda: CUD(INFO, INFO, eta=1.0),
        lambda: CUD(INFO, INFO, margin=0.0),
        lambda: CUD(INFO, INFO, teacher_temperature=0.0),
        lambda: FocalEntropy(INFO, cap=0.0),
        lambda: FocalEntropy(INFO, label_smoothing=1.0),
    ],
)
def test_nonsense_is_refused_when_built(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()
