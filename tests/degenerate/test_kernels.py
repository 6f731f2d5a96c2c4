"""HSIC, CKA and MMD: what must hold for any features, and what float32 must not lose."""

import pytest
import torch
from torch import Tensor

from foglight.functional.kernels import centred, cka, gaussian_kernel, hsic, linear_cka, quadratic_mmd
from foglight.functional.recalibration import recalibrate
from foglight.functional.similarity import geometry

UNBIASED = pytest.mark.parametrize("unbiased", [False, True])
# More examples than columns takes the d*d form, fewer the n*n form.
SHAPES = pytest.mark.parametrize(("examples", "columns"), [(9, 30), (30, 4)])


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int) -> Tensor:
    return torch.linalg.qr(rows(size, size, seed=7)).Q


@UNBIASED
@SHAPES
def test_cka_with_itself_is_one(examples: int, columns: int, unbiased: bool) -> None:
    features = rows(2, examples, columns)
    torch.testing.assert_close(linear_cka(features, features, unbiased=unbiased), torch.ones(2, dtype=torch.float64))


@UNBIASED
@SHAPES
def test_cka_sees_no_rotation_shift_or_scale(examples: int, columns: int, unbiased: bool) -> None:
    student, teacher = rows(examples, columns), rows(examples, 6, seed=1)
    moved = 1e6 * (student @ rotation(columns)) + 3.0
    torch.testing.assert_close(
        linear_cka(moved, teacher, unbiased=unbiased), linear_cka(student, teacher, unbiased=unbiased)
    )


@UNBIASED
@SHAPES
def test_linear_cka_is_cka_of_linear_kernels(examples: int, columns: int, unbiased: bool) -> None:
    student, teacher = rows(examples, columns), rows(examples, columns, seed=1)
    expected = cka(student @ student.T, teacher @ teacher.T, unbiased=unbiased)
    torch.testing.assert_close(linear_cka(student, teacher, unbiased=unbiased), expected)


def test_hsic_is_the_printed_three_terms() -> None:
    n = 7
    first, second = gaussian_kernel(rows(n, 3), 1.0), gaussian_kernel(rows(n, 5, seed=1), 2.0)
    one = torch.ones(n, dtype=torch.float64)
    biased = (first * second).sum() + first.sum() * second.sum() / n**2 - 2 / n * (one @ first @ second @ one)
    torch.testing.assert_close(hsic(first, second), biased / (n - 1) ** 2)
    first, second = first - torch.eye(n), second - torch.eye(n)
    unbiased = (first * second).sum() + first.sum() * second.sum() / ((n - 1) * (n - 2))
    unbiased = (unbiased - 2 / (n - 2) * (one @ first @ second @ one)) / (n * (n - 3))
    torch.testing.assert_close(hsic(first, second, unbiased=True), unbiased)


def test_only_the_unbiased_estimate_is_zero_on_average_for_independent_features() -> None:
    student, teacher = rows(400, 8, 40), rows(400, 8, 40, seed=1)
    assert linear_cka(student, teacher, unbiased=True).mean().abs() < 0.05
    assert linear_cka(student, teacher).mean() > 0.5


def test_the_unbiased_form_needs_four_examples() -> None:
    with pytest.raises(ValueError, match="at least 4 examples"):
        centred(torch.eye(3), unbiased=True)


@SHAPES
def test_constant_features_give_zero_and_a_finite_gradient(examples: int, columns: int) -> None:
    student = torch.full((examples, columns), 2.0, requires_grad=True)
    value = linear_cka(student, rows(examples, columns).float())
    value.backward()
    assert value == 0
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_float32_keeps_cka_of_many_positions() -> None:
    """Uncentred three-term sums are several per cent off here."""
    student, teacher = rows(64, 20000).abs() + 5, rows(64, 20000, seed=1).abs() + 5
    exact = linear_cka(student, teacher)
    torch.testing.assert_close(linear_cka(student.float(), teacher.float()).double(), exact, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(("own", "given", "positions"), [(3, 5, 20), (30, 40, 6), (4, 50, 20)])
def test_mmd_is_the_naive_double_sum(own: int, given: int, positions: int) -> None:
    student, teacher = rows(2, own, positions).requires_grad_(), rows(2, given, positions, seed=1)

    def mean_kernel(left: Tensor, right: Tensor) -> Tensor:
        return (left.unsqueeze(2) * right.unsqueeze(1)).sum(-1).square().mean((1, 2))

    expected = mean_kernel(student, student) + mean_kernel(teacher, teacher) - 2 * mean_kernel(student, teacher)
    found, each = quadratic_mmd(student, teacher), torch.tensor([1.0, -3.0], dtype=student.dtype)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, student, each)[0] for value in (found, expected)))


def test_distances_survive_a_large_offset() -> None:
    points = rows(6, 4).float()
    torch.testing.assert_close(geometry(points + 1000).squares, geometry(points).squares, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1234.567])
def test_points_that_coincide_have_no_distance_and_no_gradient(offset: float) -> None:
    points = (torch.zeros(4, 3) + offset).requires_grad_()
    distances = geometry(points).squares
    distances.sum().backward()
    assert not distances.any()
    assert points.grad is not None
    assert not points.grad.any()


def test_gaussian_bandwidth_is_the_median_distance() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    # Squared distances 1, 4, 9: their median is 4.
    torch.testing.assert_close(gaussian_kernel(points), gaussian_kernel(points, 2.0))


@pytest.mark.parametrize("kernel", ["paper", "laplace", "gaussian", "linear"])
def test_recalibration_sees_no_scale_and_no_offset(kernel: str) -> None:
    feature = rows(2, 4, 9)
    torch.testing.assert_close(recalibrate(3 * feature + 5, kernel=kernel), recalibrate(feature, kernel=kernel))
    if kernel != "linear":
        torch.testing.assert_close(recalibrate(-feature, kernel=kernel), recalibrate(feature, kernel=kernel))


@pytest.mark.parametrize("kernel", ["paper", "laplace", "gaussian", "linear", "none"])
def test_a_constant_feature_has_a_finite_recalibration(kernel: str) -> None:
    feature = torch.ones(1, 3, 4, requires_grad=True)
    value = recalibrate(feature, kernel=kernel)
    value.square().sum().backward()
    assert torch.isfinite(value).all()
    assert feature.grad is not None
    assert torch.isfinite(feature.grad).all()


def test_the_paper_kernel_is_equation_13() -> None:
    feature = rows(1, 3, 5)
    squares = (feature - feature.mean()) ** 2
    sigma = squares.flatten().std(correction=0)
    torch.testing.assert_close(recalibrate(feature), torch.exp(-squares / sigma))
