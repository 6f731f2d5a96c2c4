"""Truths that ickd must keep in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.losses.features.ickd import ICKD, correlation_distance, patches
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def textbook(student: Tensor, teacher: Tensor) -> Tensor:
    own, given = (F.normalize(feature @ feature.mT, dim=2) for feature in (student, teacher))
    return (own - given).square().sum((1, 2)) / student.shape[1]


# More and fewer positions than a third of the channels: with and without the correlation matrix.
@pytest.mark.parametrize("positions", [1, 3, 4, 5, 20])
def test_both_forms_are_the_textbook_in_value_and_gradient(positions: int) -> None:
    student, teacher = rows(2, 12, positions).requires_grad_(), rows(2, 12, positions, seed=1)
    ours, expected = correlation_distance(student, teacher), textbook(student, teacher)
    torch.testing.assert_close(ours, expected)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(ours, student, weights), torch.autograd.grad(expected, student, weights)
    )


@pytest.mark.parametrize("positions", [2, 20])
def test_orthogonal_mixing_of_positions_and_scaling_change_nothing(positions: int) -> None:
    feature = rows(2, 12, positions)
    mixed = 3.0 * feature @ torch.linalg.qr(rows(positions, positions, seed=1)).Q
    torch.testing.assert_close(
        correlation_distance(feature, mixed), torch.zeros(2, dtype=torch.float64), rtol=0.0, atol=1e-12
    )


@pytest.mark.parametrize("positions", [2, 20])
def test_a_dead_channel_counts_one_and_has_no_gradient(positions: int) -> None:
    teacher = rows(1, 12, positions)
    student = teacher.clone()
    student[:, 0] = 0.0
    student.requires_grad_()
    distance = correlation_distance(student, teacher)
    gradient = torch.autograd.grad(distance.sum(), student)[0]
    assert distance.item() >= 1 / 12
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() < 10


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 3), (9, 11), (20, 20)])
def test_patches_hold_every_position_once(grid: tuple[int, int]) -> None:
    feature = torch.arange(99.0).view(1, 1, 9, 11)
    cut = patches(feature, grid)
    assert torch.cat([patch.flatten() for patch in cut]).sort().values.tolist() == list(range(99))
    assert len(cut) == min(grid[0], 9) * min(grid[1], 11)


def test_the_loss_is_the_mean_over_patches() -> None:
    info = ModelInfo(5, 8, {"layer4": TapInfo(6, 8)})
    whole, cut = ICKD(info, info).double().eval(), ICKD(info, info, grid=(2, 2)).double().eval()
    cut.load_state_dict(whole.state_dict())
    own, given = rows(2, 6, 4, 6), rows(2, 6, 4, 6, seed=1)

    def of(loss: ICKD, top: int, bottom: int, left: int, right: int) -> Tensor:
        student, teacher = (
            ModelOutput(rows(2, 5, 4, 6), {"layer4": feature[:, :, top:bottom, left:right]}) for feature in (own, given)
        )
        return loss(student, teacher, Batch(torch.zeros(2, 3, 32, 48)))["ickd"]

    quarters = [of(whole, top, top + 2, left, left + 3) for top in (0, 2) for left in (0, 3)]
    torch.testing.assert_close(of(cut, 0, 4, 0, 6), torch.stack(quarters).mean())


def test_a_vector_is_a_map_of_one_position() -> None:
    maps, vectors = (ModelInfo(5, stride, {"layer4": TapInfo(6, stride)}) for stride in (8, 0))
    loss, flat = ICKD(maps, maps).double().eval(), ICKD(vectors, vectors).double().eval()
    flat.load_state_dict(loss.state_dict())
    own, given, batch = rows(3, 6), rows(3, 6, seed=1), Batch(torch.zeros(3, 3, 8, 8))
    expected = loss(
        ModelOutput(rows(3, 5, 1, 1), {"layer4": own[..., None, None]}),
        ModelOutput(rows(3, 5, 1, 1), {"layer4": given[..., None, None]}),
        batch,
    )
    actual = flat(ModelOutput(rows(3, 5), {"layer4": own}), ModelOutput(rows(3, 5), {"layer4": given}), batch)
    torch.testing.assert_close(actual, expected)


def test_an_empty_grid_is_refused() -> None:
    info = ModelInfo(5, 8, {"layer4": TapInfo(6, 8)})
    with pytest.raises(ValueError, match="grid of at least one"):
        ICKD(info, info, grid=(0, 2))
