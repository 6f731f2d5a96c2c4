"""Truths that ofd and its margin must keep in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor

from foglight.losses.features.ofd import OFD, partial_l2
from foglight.losses.margin import EmpiricalMargin, margin_from_batch_norm
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

CHANNELS = 6


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def info(*taps: str, channels: int = CHANNELS, closing: bool = True) -> ModelInfo:
    affine = (torch.linspace(0.5, 1.5, channels), torch.linspace(-1.0, 1.0, channels)) if closing else None
    return ModelInfo(5, 8, {tap: TapInfo(channels, 8, affine) for tap in taps})


def said(*taps: str, seed: int = 0, size: tuple[int, int] = (4, 5)) -> ModelOutput:
    features = {tap: maps(2, CHANNELS, *size, seed=seed + index) for index, tap in enumerate(taps)}
    return ModelOutput(maps(2, 5, *size), features)


def batch(label: Tensor | None = None) -> Batch:
    return Batch(torch.zeros(2, 3, 32, 40), label=label)


def test_the_margin_is_the_mean_of_negative_samples() -> None:
    weight, bias = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, -1.0])
    drawn = bias + weight * torch.randn(400_000, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([drawn[:, i][drawn[:, i] < 0].mean() for i in range(3)])
    torch.testing.assert_close(margin_from_batch_norm(weight, bias), expected, rtol=0.01, atol=0.0)


def test_a_channel_that_is_hardly_ever_negative_takes_three_deviations() -> None:
    assert margin_from_batch_norm(torch.tensor([0.5]), torch.tensor([5.0])).item() == -1.5


def test_a_dead_batch_norm_has_a_finite_margin() -> None:
    assert torch.isfinite(margin_from_batch_norm(torch.zeros(3), torch.tensor([-1.0, 0.0, 1.0]))).all()


def test_the_measured_margin_agrees_with_the_batch_norms() -> None:
    weight, bias, measured = torch.tensor([1.0, 0.5]), torch.tensor([0.3, -0.2]), EmpiricalMargin(2)
    for seed in range(3):
        measured(torch.randn(200_000, 2, generator=torch.Generator().manual_seed(seed)) * weight + bias)
    seen = measured.eval()(torch.full((1, 2), -100.0))
    torch.testing.assert_close(seen, margin_from_batch_norm(weight, bias), rtol=0.01, atol=0.0)


def test_silence_of_both_costs_nothing_and_has_no_gradient() -> None:
    student = -maps(2, CHANNELS, 3, 4).abs() - 3
    student.requires_grad_()
    margin = torch.full((CHANNELS,), -1.0, dtype=torch.float64)
    distance = partial_l2(student, -maps(2, CHANNELS, 3, 4).abs(), margin)
    distance.backward()
    assert distance == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_with_an_active_teacher_it_is_the_squared_error() -> None:
    student, teacher = maps(2, CHANNELS, 3, 4), maps(2, CHANNELS, 3, 4, seed=1).abs()
    distance = partial_l2(student, teacher, torch.full((CHANNELS,), -1.0, dtype=torch.float64))
    torch.testing.assert_close(distance, (student - teacher).square().sum())


def test_a_loud_student_is_pulled_down_to_the_margin_of_a_silent_teacher() -> None:
    margin = torch.full((1,), -2.0, dtype=torch.float64)
    student = torch.tensor([[[[-1.0, 3.0]]]], dtype=torch.float64)
    assert partial_l2(student, torch.full_like(student, -50.0), margin) == 1.0 + 25.0


def test_scale_divisors_and_images_are_divided_out() -> None:
    taps = ("a", "b", "c")
    loss = OFD(info(*taps), info(*taps), taps=taps, scale=1.0).double().eval()
    assert loss.divisors == (4.0, 2.0, 1.0)
    student, teacher = said(*taps), said(*taps, seed=9)
    parts = [
        partial_l2(connector(student.features[tap]), teacher.features[tap], margin.margin)
        for tap, connector, margin in zip(taps, loss.connectors, loss.margins, strict=True)
    ]
    expected = (parts[0] / 4 + parts[1] / 2 + parts[2]) / 2
    torch.testing.assert_close(loss(student, teacher, batch())["ofd"], expected)


def test_the_default_taps_are_before_relu_with_their_published_divisors() -> None:
    names = ("layer1", "layer1_pre_relu", "layer4", "decoder_pre_relu")
    loss = OFD(info(*names), info("layer1", "layer4_pre_relu", "decoder_pre_relu"))
    assert [(pair.student, pair.teacher) for pair in loss.pairs] == [
        ("layer1_pre_relu", "layer1"),
        ("layer4", "layer4_pre_relu"),
        ("decoder_pre_relu", "decoder_pre_relu"),
    ]
    assert loss.divisors == (8.0, 1.0, 16.0)


def test_a_masked_position_has_no_gradient() -> None:
    label = torch.zeros(2, 32, 40, dtype=torch.long)
    label[:, 16:] = 255
    loss = OFD(info("a"), info("a"), taps=("a",), mask_ignored=True).double().eval()
    student = said("a")
    student.features["a"].requires_grad_()
    loss(student, said("a", seed=3), batch(label))["ofd"].backward()
    gradient = student.features["a"].grad
    assert gradient is not None
    assert gradient[:, :, :2].any()
    assert not gradient[:, :, 2:].any()


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="closes the teacher's tap 'a'"):
        OFD(info("a"), info("a", closing=False), taps=("a",))
    OFD(info("a"), info("a", closing=False), taps=("a",), margin="empirical")
    with pytest.raises(ValueError, match="positive divisor"):
        OFD(info("a"), info("a"), taps=("a",), divisors=(1.0, 2.0))
    with pytest.raises(ValueError, match="scale"):
        OFD(info("a"), info("a"), taps=("a",), scale=0.0)
