"""Truths that lad must keep in the limit: an angle, and nothing but an angle."""

from typing import Any

import pytest
import torch
from torch import Tensor

from foglight.losses.features.lad import LAD
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

INFO = ModelInfo(5, 8, {"layer4": TapInfo(6, 8)})


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(student: Tensor, teacher: Tensor, *, label: Tensor | None = None, **options: Any) -> Tensor:
    own, given = (
        ModelOutput(feature.new_zeros(len(feature), 5, *feature.shape[2:]), {"layer4": feature})
        for feature in (student, teacher)
    )
    image = torch.zeros(len(student), 3, 32, 48)
    return LAD(INFO, INFO, **options)(own, given, Batch(image, label=label))["lad"]


@pytest.mark.parametrize("axis", ["channel", "spatial", "both"])
def test_it_is_zero_for_equal_half_for_dead_and_two_for_opposite_vectors(axis: str) -> None:
    feature = maps(2, 6, 4, 5)
    for factor, expected in ((3.0, 0.0), (-0.5, 2.0)):
        distance = value(feature, factor * feature, axis=axis)
        torch.testing.assert_close(distance, torch.tensor(expected, dtype=torch.float64))
    assert value(feature, torch.zeros_like(feature), axis=axis).item() == pytest.approx(0.5)


def test_it_is_one_minus_torchs_cosine() -> None:
    student, teacher = maps(2, 6, 4, 5), maps(2, 6, 4, 5, seed=1)
    for axis, dims in (("channel", (1, 1)), ("spatial", (2, 3)), ("both", (1, 3))):
        flat = [feature.flatten(*dims) for feature in (student, teacher)]
        expected = 1 - torch.cosine_similarity(*flat, dim=dims[0])
        torch.testing.assert_close(value(student, teacher, axis=axis), expected.mean())


def test_magnitude_is_free() -> None:
    student, teacher = maps(2, 6, 4, 5), maps(2, 6, 4, 5, seed=1)
    scale = maps(2, 1, 4, 5, seed=2).exp()
    torch.testing.assert_close(value(scale * student, teacher), value(student, teacher))


def test_the_gradient_is_at_right_angles_to_the_vector() -> None:
    student = maps(2, 6, 4, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(value(student, maps(2, 6, 4, 5, seed=1)), student)
    assert gradient.any()
    torch.testing.assert_close((gradient * student).sum(1), torch.zeros(2, 4, 5, dtype=torch.float64))


@pytest.mark.parametrize("axis", ["channel", "spatial", "both"])
def test_a_masked_position_has_neither_value_nor_gradient(axis: str) -> None:
    label = torch.zeros(2, 32, 48, dtype=torch.long)
    label[:, 16:] = 255
    student, teacher = maps(2, 6, 4, 6).requires_grad_(), maps(2, 6, 4, 6, seed=1)
    masked = value(student, teacher, label=label, axis=axis, mask_ignored=True)
    torch.testing.assert_close(masked, value(student[:, :, :2], teacher[:, :, :2], axis=axis))
    (gradient,) = torch.autograd.grad(masked, student)
    assert gradient[:, :, :2].any()
    assert not gradient[:, :, 2:].any()


def test_vectors_have_one_angle_each() -> None:
    flat = ModelInfo(5, 0, {"layer4": TapInfo(6, 0)})
    student, teacher = maps(3, 6), maps(3, 6, seed=1)
    own, given = (ModelOutput(maps(3, 5), {"layer4": feature}) for feature in (student, teacher))
    term = LAD(flat, flat)(own, given, Batch(torch.zeros(3, 3, 8, 8)))["lad"]
    torch.testing.assert_close(term, (1 - torch.cosine_similarity(student, teacher)).mean())
