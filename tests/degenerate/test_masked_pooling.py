"""Pooling under a mask is torch's without one, and never reads what the mask leaves out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.direction import unit
from foglight.functional.masked_pooling import average_pool, maximum_pool

POOLS = [(average_pool, F.avg_pool2d), (maximum_pool, F.max_pool2d)]


def values() -> Tensor:
    return torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("pool", "plain"), POOLS)
def test_a_mask_of_ones_is_no_mask(pool: Callable[..., tuple[Tensor, Tensor]], plain: Callable[..., Tensor]) -> None:
    given = values()
    pooled, kept = pool(given, kernel=2, valid=torch.ones(2, 5, 7, dtype=torch.bool))
    torch.testing.assert_close(pooled, plain(given, 2, ceil_mode=True))
    torch.testing.assert_close(pooled, pool(given, kernel=2)[0])
    assert kept.all()


@pytest.mark.parametrize(("pool", "plain"), POOLS)
def test_what_is_left_out_is_never_read(
    pool: Callable[..., tuple[Tensor, Tensor]], plain: Callable[..., Tensor]
) -> None:
    given, valid = values(), torch.ones(2, 5, 7, dtype=torch.bool)
    valid[:, :2, :2] = False
    valid[:, 2, 4] = False
    given[~valid.unsqueeze(1).expand_as(given)] = torch.nan
    given.requires_grad_()
    pooled, kept = pool(given, kernel=2, valid=valid)
    assert torch.isfinite(pooled).all()
    assert not kept[:, 0, 0].any()
    assert kept.sum() == kept.numel() - 2
    assert not pooled[:, :, 0, 0].any()
    (gradient,) = torch.autograd.grad(pooled.sum(), given)
    assert not gradient[~valid.unsqueeze(1).expand_as(given)].any()


def test_a_vector_of_zeros_gets_no_gradient() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(unit(vectors)[:, 0].sum(), vectors)
    torch.testing.assert_close(gradient, torch.tensor([[0.128, -0.096], [0.0, 0.0]]))
