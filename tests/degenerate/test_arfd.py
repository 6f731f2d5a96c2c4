"""LIX's ARFD: its limits, its options, and that the printed forms fail as the card says."""

import pytest
import torch
from feature_pairs import TAP, batch, feature, info, terms, total
from torch import nn

from foglight.functional.recalibration import Kernel, recalibrate
from foglight.losses.features.arfd import ARFD, Consistency, Hsic, inconsistency, standardised
from foglight.types import ModelInfo, ModelOutput, TapInfo

KERNELS: tuple[Kernel, ...] = ("paper", "laplace", "gaussian", "linear", "none")
MEASURES: tuple[Consistency, ...] = ("cka", "cosine", "euclidean", "pearson")
ESTIMATORS: tuple[Hsic, ...] = ("biased", "unbiased", "printed")


def arfd(*, student: int = 4, teacher: int = 6, **options: object) -> ARFD:
    torch.manual_seed(0)
    return ARFD(info(student), info(teacher), tap=TAP, **options)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("consistency", MEASURES)
@pytest.mark.parametrize("grid", [(), (1, 1), (5, 3)])
def test_every_kernel_and_measure_is_finite_for_one_image(
    kernel: Kernel, consistency: Consistency, grid: tuple[int, ...]
) -> None:
    loss = arfd(kernel=kernel, consistency=consistency)
    student = feature(1, 4, *grid).float().requires_grad_()
    value = total(loss, student, feature(1, 6, *grid, seed=1).float())
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("consistency", MEASURES)
@pytest.mark.parametrize("hsic", ESTIMATORS)
@pytest.mark.parametrize("fold_batch", [False, True])
def test_a_feature_is_consistent_with_itself(consistency: Consistency, hsic: Hsic, fold_batch: bool) -> None:
    same = feature(2, 6, 15)
    value = inconsistency(same, same, consistency=consistency, hsic=hsic, fold_batch=fold_batch)
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("hsic", ESTIMATORS)
def test_cka_sees_no_permutation_of_positions_and_no_scale(hsic: Hsic) -> None:
    student, teacher = feature(2, 6, 15), feature(2, 6, 15, seed=1)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    moved = inconsistency(7 * student[:, :, order], teacher, hsic=hsic)
    torch.testing.assert_close(moved, inconsistency(student, teacher, hsic=hsic))
    shuffled = inconsistency(student[:, [1, 0, 3, 2, 5, 4]], teacher, hsic=hsic)
    assert (shuffled - inconsistency(student, teacher, hsic=hsic)).abs() > 1e-3


def test_pearson_is_cosine_after_centring() -> None:
    student, teacher = feature(1, 6, 15), feature(1, 6, 15, seed=1)
    centred = [values - values.mean() for values in (student, teacher)]
    torch.testing.assert_close(
        inconsistency(student, teacher, consistency="pearson"), inconsistency(*centred, consistency="cosine")
    )


def test_equation_15_as_printed_hardly_centres() -> None:
    student, teacher = (recalibrate(feature(1, 64, 200, seed=seed)) for seed in (0, 1))
    assert inconsistency(student, teacher, hsic="printed") < 2e-3
    assert inconsistency(student, teacher) > 0.05


def test_the_teacher_side_is_batch_norm_without_parameters() -> None:
    values = feature(3, 6, 4, 5)
    reference = nn.BatchNorm2d(6, affine=False).double()
    torch.testing.assert_close(standardised(values), reference(values))
    loss = arfd()
    assert not list(loss.teacher_align.parameters())
    assert not loss.statistics().notes


def test_the_printed_teacher_side_is_trained_and_said_once() -> None:
    loss = arfd(teacher_align="conv").double()
    terms(loss, feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1))["arfd"].backward()
    assert all(parameter.grad is not None for parameter in loss.teacher_align.parameters())
    assert len(loss.statistics().notes) == 1
    assert not loss.statistics().notes


def test_scale_and_offset_of_a_channel_on_the_teacher_side_do_not_matter() -> None:
    loss = arfd().double()
    student, teacher = feature(2, 4, 5, 3), 10 * feature(2, 6, 5, 3, seed=1)
    moved = teacher * torch.linspace(1, 9, 6).view(6, 1, 1) + torch.linspace(-1, 1, 6).view(6, 1, 1)
    torch.testing.assert_close(total(loss, student, moved), total(loss, student, teacher), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(("own", "given"), [((6, 12), (3, 6)), ((3, 6), (6, 12)), ((6, 3), (3, 6))])
def test_the_larger_map_is_resized_to_the_smaller(own: tuple[int, int], given: tuple[int, int]) -> None:
    loss = arfd().double()
    smaller = min(own[0], given[0]), min(own[1], given[1])
    student, teacher = feature(2, 4, *own), feature(2, 6, *given, seed=1)
    resized = [nn.functional.interpolate(values, smaller, mode="bilinear") for values in (student, teacher)]
    torch.testing.assert_close(total(loss, student, teacher), total(loss, *resized))


def test_taps_are_summed_and_reported_by_name() -> None:
    taps = {name: TapInfo(channels, 8) for name, channels in (("layer3", 4), ("layer4", 5))}
    loss = ARFD(ModelInfo(3, 8, taps), ModelInfo(3, 8, taps), tap=("layer3", "layer4")).double()
    features = {"layer3": feature(2, 4, 5, 3), "layer4": feature(2, 5, 2, 2)}
    teacher = {name: values + 1 / values for name, values in features.items()}
    logits = torch.zeros(2, 3, dtype=torch.float64)
    value = loss(ModelOutput(logits, features), ModelOutput(logits, teacher), batch(2))["arfd"]
    figures = loss.statistics().values
    assert list(figures) == ["arfd.layer3-layer3", "arfd.layer4-layer4"]
    assert sum(figures.values()) == pytest.approx(value.item())


def test_the_unbiased_form_needs_four_channels() -> None:
    with pytest.raises(ValueError, match="at least 4 channels"):
        arfd(teacher=3, hsic="unbiased")


def test_learning_raises_the_consistency() -> None:
    loss = arfd().double()
    student, teacher = feature(2, 4, 5, 3).requires_grad_(), feature(2, 6, 5, 3, seed=1)
    optimiser = torch.optim.Adam([student, *loss.parameters()], lr=0.05)
    values: list[float] = []
    for _ in range(40):
        value = total(loss, student, teacher)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
