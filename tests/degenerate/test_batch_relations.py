"""NST, SP and RKD: zero for equal features, what they cannot see, and the naive forms that they replace."""

import math

import pytest
import torch
from feature_pairs import feature, info, terms, total
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.similarity import geometry
from foglight.losses.base import DistillationLoss
from foglight.losses.relations import rkd
from foglight.losses.relations.nst import NST
from foglight.losses.relations.rkd import RKD, angle_loss, distance_loss
from foglight.losses.relations.sp import SP


def rotation(size: int) -> Tensor:
    return torch.linalg.qr(feature(size, size, seed=7)).Q


def every_loss(channels: int = 6) -> list[DistillationLoss]:
    student, teacher = info(4), info(channels)
    return [
        NST(student, teacher),
        SP(student, teacher),
        SP(student, teacher, row_norm=1, points="pooled"),
        SP(student, teacher, points="grid", grid=2),
        RKD(student, teacher),
        RKD(student, teacher, points="flattened", l2_norm=True),
        RKD(student, teacher, points="grid", grid=2, squared=True),
    ]


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("shapes", [((), ()), ((1, 1), (2, 2)), ((5, 3), (3, 7))])
@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: type(loss).__name__)
def test_few_images_vectors_and_other_grids(
    loss: DistillationLoss, shapes: tuple[tuple[int, ...], tuple[int, ...]], images: int
) -> None:
    student = feature(images, 4, *shapes[0]).float().requires_grad_()
    for value in terms(loss, student, feature(images, 6, *shapes[1], seed=1).float()).values():
        (gradient,) = torch.autograd.grad(value, student, retain_graph=True)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", every_loss(4), ids=lambda loss: type(loss).__name__)
def test_equal_features_give_zero_and_no_gradient(loss: DistillationLoss) -> None:
    student = feature(5, 4, 5, 3).requires_grad_()
    value = total(loss, student, student.detach())
    value.backward()
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0.0, atol=1e-15)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("loss", every_loss(4), ids=lambda loss: type(loss).__name__)
def test_one_image_has_no_relation(loss: DistillationLoss) -> None:
    """So that the preflight refuses it: the gradient is exactly zero. NST and grids relate within an image."""
    if isinstance(loss, NST) or loss.points == "grid":
        return
    student = feature(1, 4, 5, 3).requires_grad_()
    value = total(loss, student, feature(1, 4, 5, 3, seed=1))
    value.backward()
    assert value == 0
    assert student.grad is not None
    assert not student.grad.any()


@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: type(loss).__name__)
def test_dead_features_have_finite_gradients(loss: DistillationLoss) -> None:
    student = feature(3, 4, 5, 3).float()
    student[0], student[:, 1] = 0, 0
    student.requires_grad_()
    total(loss, student, feature(3, 6, 5, 3, seed=1).float()).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e3


def test_nst_is_the_broadcast_kernel_of_the_published_code() -> None:
    student, teacher = feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1)
    own, given = (F.normalize(values.flatten(2), dim=2) for values in (student, teacher))

    def mean_kernel(left: Tensor, right: Tensor) -> Tensor:
        return (left.unsqueeze(2) * right.unsqueeze(1)).sum(-1).square().mean()

    naive = mean_kernel(given, given) + mean_kernel(own, own) - 2 * mean_kernel(own, given)
    torch.testing.assert_close(total(NST(info(4), info(6)), student, teacher), naive)


def test_nst_sees_neither_the_scale_nor_the_order_of_channels() -> None:
    student, teacher = feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1)
    scales = torch.tensor([3.0, -0.1, 1e3, 7.0]).view(1, 4, 1, 1)
    loss = NST(info(4), info(6))
    torch.testing.assert_close(total(loss, (student * scales)[:, [3, 1, 0, 2]], teacher), total(loss, student, teacher))


def test_sp_sees_no_scale_and_no_rotation() -> None:
    student, teacher = feature(5, 4), feature(5, 6, seed=1)
    loss = SP(info(4), info(6))
    torch.testing.assert_close(total(loss, 100 * student @ rotation(4), teacher), total(loss, student, teacher))


def test_rkd_sees_no_scale_no_shift_and_no_rotation() -> None:
    student, teacher = feature(5, 4), feature(5, 6, seed=1)
    before, after = (terms(RKD(info(4), info(6)), own, teacher) for own in (student, 9 * student @ rotation(4) + 5))
    torch.testing.assert_close(after, before)


def naive_distances(points: Tensor) -> Tensor:
    distances = (points.unsqueeze(0) - points.unsqueeze(1)).norm(dim=-1)
    return distances / distances[distances > 0].mean()


def naive_angles(points: Tensor) -> Tensor:
    directions = F.normalize(points.unsqueeze(0) - points.unsqueeze(1), dim=2)
    return directions @ directions.mT


def test_rkd_is_the_naive_differences() -> None:
    student, teacher = feature(6, 40), feature(6, 30, seed=1)
    expected = F.smooth_l1_loss(naive_distances(student), naive_distances(teacher))
    torch.testing.assert_close(distance_loss(geometry(student), geometry(teacher)), expected)
    expected = F.smooth_l1_loss(naive_angles(student), naive_angles(teacher))
    torch.testing.assert_close(angle_loss(geometry(student), geometry(teacher)), expected)


@pytest.mark.parametrize("budget", [1, 36, 100])
def test_rkd_in_chunks_is_rkd(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    student, teacher = feature(6, 4).requires_grad_(), feature(6, 3, seed=1)
    whole = angle_loss(geometry(student), geometry(teacher))
    monkeypatch.setattr(rkd, "ANGLES_AT_ONCE", budget)
    chunked = angle_loss(geometry(student), geometry(teacher))
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(torch.autograd.grad(chunked, student), torch.autograd.grad(whole, student))


def test_angles_of_an_equilateral_triangle() -> None:
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=torch.float64)
    line = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    # Cosines between two other points: 1/2 in the triangle; 1, -1, 1 on the line: three entries per pair and anchor.
    cosines = torch.tensor([0.5 - 1, 0.5 + 1, 0.5 - 1], dtype=torch.float64)
    expected = 2 * F.smooth_l1_loss(cosines, torch.zeros_like(cosines), reduction="sum") / 27
    torch.testing.assert_close(angle_loss(geometry(triangle), geometry(line)), expected)


def test_points_that_coincide_have_no_direction() -> None:
    student = torch.ones(3, 4).requires_grad_()
    value = total(RKD(info(4), info(6)), student, feature(3, 6).float())
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert not student.grad.any()
