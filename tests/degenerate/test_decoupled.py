"""Truths that dkd, dwld and the latter's controller keep in the limit, without any reference numbers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from logit_pair import (
    CLASSES,
    INFO,
    LABEL,
    SHAPE,
    STUDENT,
    TEACHER,
    VALID,
    assert_same_loss,
    at_label,
    batch,
    logits,
    value_and_gradient,
)
from torch import Tensor

from foglight.functional.decoupled import split_target, target_kl
from foglight.losses import weight_controller
from foglight.losses.logits.dkd import DKD
from foglight.losses.logits.dwld import DWLD, literal_eq9, weighted_ranking
from foglight.losses.logits.kd import KD
from foglight.losses.weight_controller import WeightController
from foglight.types import ModelOutput


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_dkd_with_beta_one_minus_the_teachers_certainty_is_kd(temperature: float) -> None:
    assert_same_loss(
        DKD(INFO, INFO, temperature=temperature, decouple=False),
        KD(INFO, INFO, temperature=temperature, mask_ignored=True),
    )


def test_the_ranking_part_gives_the_label_no_gradient_and_the_target_part_keeps_the_ranking() -> None:
    _, ranking = value_and_gradient(DKD(INFO, INFO, alpha=0.0))
    assert ranking.abs().max() > 0
    assert at_label(ranking).abs().max() == 0
    _, target = value_and_gradient(DKD(INFO, INFO, beta=0.0))
    _, others = split_target(STUDENT, torch.where(VALID, LABEL, 0))
    pull = at_label(target)
    torch.testing.assert_close(
        target.movedim(1, -1)[VALID].scatter(1, LABEL[VALID].unsqueeze(1), 0.0),
        -pull.unsqueeze(1) * others.exp().movedim(1, -1)[VALID],
    )


def test_two_classes_leave_nothing_to_rank() -> None:
    info = replace(INFO, num_classes=2)
    label = LABEL.clamp(max=1)
    student, teacher = logits(classes=2), logits(classes=2, seed=1)
    value, gradient = value_and_gradient(DKD(info, info, alpha=0.0), student, teacher, batch(label))
    assert value == 0
    assert gradient.abs().max() == 0
    torch.testing.assert_close(
        value_and_gradient(DKD(info, info), student, teacher, batch(label)),
        value_and_gradient(KD(info, info), student, teacher, batch(label)),
    )


def test_dkd_warm_up_and_sum_are_factors() -> None:
    plain, _ = value_and_gradient(DKD(INFO, INFO))
    for step, share in ((0, 0.25), (1, 0.5), (3, 1.0), (9, 1.0)):
        warm, _ = value_and_gradient(DKD(INFO, INFO, warm_up_steps=4), given=batch(step=step))
        torch.testing.assert_close(warm, share * plain)
    torch.testing.assert_close(value_and_gradient(DKD(INFO, INFO, reduction="sum"))[0], plain * VALID.sum())


def test_coins_survive_the_gap_at_which_probabilities_round_to_one() -> None:
    certain, fair = torch.tensor([[200.0]]), torch.tensor([[0.0]])
    torch.testing.assert_close(target_kl(fair, certain), torch.tensor([[2.0]]).log())
    torch.testing.assert_close(target_kl(certain, fair), torch.tensor([[100.0]]) - torch.tensor([[2.0]]).log())


def dwld(**options: object) -> DWLD:
    """With a controller that has left its even start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = DWLD(INFO, INFO, **options).double()
        for parameter in loss.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return loss


@pytest.mark.parametrize("pointwise", ["kl", "bregman", "pixel"])
def test_dwld_with_a_constant_beta_is_dkd(pointwise: str) -> None:
    assert_same_loss(DWLD(INFO, INFO, pointwise=pointwise, beta=3.0), DKD(INFO, INFO, beta=3.0))


@pytest.mark.parametrize("preset", ["literal", "robust"])
def test_dwld_starts_as_dkd_in_the_middle_of_the_range(preset: str) -> None:
    assert_same_loss(DWLD(INFO, INFO, preset=preset).double(), DKD(INFO, INFO, beta=5.5))


@pytest.mark.parametrize(("detach", "expected"), [(True, True), (False, False)])
def test_the_weighted_ranking_reaches_the_label_only_through_omega(detach: bool, expected: bool) -> None:
    loss = dwld(preset="literal", alpha=0.0, detach_omega=detach)
    assert bool((at_label(value_and_gradient(loss)[1]) == 0).all()) == expected


def controller_gradients(loss: DWLD) -> list[Tensor]:
    terms = loss(ModelOutput(STUDENT.clone().requires_grad_()), ModelOutput(TEACHER), batch())
    return list(torch.autograd.grad(terms["dwld"], list(loss.parameters())))


def test_a_climbing_controller_gets_the_opposite_gradient_and_the_student_the_same() -> None:
    down, up = dwld(controller="descend"), dwld(controller="ascend")
    assert_same_loss(down, up)
    for descending, ascending in zip(controller_gradients(down), controller_gradients(up), strict=True):
        assert descending.abs().max() > 0
        torch.testing.assert_close(ascending, -descending)


def test_a_frozen_controller_is_nobodys_and_not_a_constant() -> None:
    frozen = DWLD(INFO, INFO, controller="frozen", beta_budget=0.0).double()
    assert not frozen.optimiser_groups()
    value_and_gradient(frozen)
    figures = frozen.statistics().values
    assert figures["beta_max"] > figures["beta_min"]


def test_the_budget_is_the_mean_weight() -> None:
    loss = dwld(beta_budget=2.5)
    value_and_gradient(loss)
    assert loss.statistics().values["beta_mean"] == pytest.approx(2.5)
    free = dwld(preset="literal")
    assert not free.statistics().values
    value_and_gradient(free)
    figures = free.statistics().values
    assert 1 < figures["beta_min"] < figures["beta_mean"] < figures["beta_max"] < 10


def test_the_literal_weights_pull_the_student_off_the_teacher_and_the_repairs_do_not() -> None:
    for options, stays in (
        ({"preset": "literal"}, False),
        ({"preset": "literal", "pointwise": "bregman"}, True),
        ({"preset": "robust"}, True),
    ):
        value, gradient = value_and_gradient(dwld(**options), TEACHER, TEACHER)
        assert value.abs() < 1e-12
        assert (gradient.abs().max() < 1e-12) == stays


def test_proper_entries_are_never_negative_and_add_up_to_the_divergence() -> None:
    (_, student), (_, teacher) = (split_target(z, LABEL.clamp(max=4)) for z in (STUDENT, TEACHER))
    weight = 1 + 9 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert weighted_ranking(student, teacher, weight, proper=True).min() >= 0
    ones = torch.ones_like(weight)
    torch.testing.assert_close(
        weighted_ranking(student, teacher, ones, proper=True), weighted_ranking(student, teacher, ones)
    )


def test_equation_nine_as_printed_is_minus_the_divergence_the_other_way_round() -> None:
    label = LABEL.clamp(max=4)
    (odds, others), (teacher_odds, teacher_others) = (split_target(z, label) for z in (STUDENT, TEACHER))
    ones = torch.ones_like(STUDENT)
    printed = literal_eq9((odds, teacher_odds), (others, teacher_others), ones, alpha=2.0)
    reverse = 2 * target_kl(teacher_odds, odds) + weighted_ranking(teacher_others, others, ones)
    torch.testing.assert_close(printed, -reverse)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_controller_in_chunks_is_the_whole_one(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for budget in (weight_controller.BUDGET, 5000):
        monkeypatch.setattr(weight_controller, "BUDGET", budget)
        loss = dwld(preset="literal", detach_omega=False, dropout=dropout, hidden=4)
        results.append((*value_and_gradient(loss), *controller_gradients(loss)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_dropout_is_for_training_only_and_of_the_rate_asked_for() -> None:
    loss = dwld(dropout=0.4)
    assert not torch.equal(value_and_gradient(loss)[0], value_and_gradient(loss, given=batch(step=1))[0])
    loss.eval()
    assert torch.equal(value_and_gradient(loss)[0], value_and_gradient(loss, given=batch(step=1))[0])
    controller = WeightController(CLASSES, hidden=8, depth=2, dropout=0.25)
    assert controller.uniform_shapes(7) == {"dropout_0": (7, 8)}
    assert controller.eval().uniform_shapes(7) == {}


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize(("omega", "inputs"), [("both", CLASSES + 1), ("probability", CLASSES), ("entropy", 1)])
def test_a_controller_has_the_layers_it_was_asked_for(depth: int, omega: str, inputs: int) -> None:
    controller = WeightController(CLASSES, depth=depth, omega=omega, hidden=7)
    widths = [(layer.in_features, layer.out_features) for layer in controller.layers]
    assert len(widths) == depth
    assert (widths[0][0], widths[-1][1]) == (inputs, CLASSES)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DKD(INFO, None),
        lambda: DKD(INFO, INFO, beta=-1.0),
        lambda: DKD(INFO, INFO, temperature=0.0),
        lambda: DWLD(INFO, INFO, detach_omega=False),
        lambda: DWLD(INFO, INFO, depth=6),
        lambda: DWLD(INFO, INFO, dropout=1.0),
        lambda: DWLD(INFO, INFO, beta_min=3.0, beta_max=2.0),
    ],
)
def test_nonsense_is_refused_when_built(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()
