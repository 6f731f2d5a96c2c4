"""What MGD must say in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor, nn

from foglight.losses.features.mgd import MGD, PUBLISHED_MAP, Mask, kept
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

INFO = ModelInfo(5, 8, {"head": TapInfo(6, 8)})


def feature(seed: int) -> Tensor:
    return torch.rand(2, 6, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(**options: object) -> MGD:
    """With a generator that hands on whatever is not negative."""
    loss = MGD(INFO, INFO, **options).double()
    for layer in loss.generator:
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)
    return loss


def value(loss: MGD, student: Tensor, teacher: Tensor, *, step: int = 0) -> Tensor:
    logits = torch.zeros(2, 5, 5, 7, dtype=torch.float64)
    given = Batch(torch.zeros(2, 3, 8, 8), step=step)
    return loss(ModelOutput(logits, {"head": student}), ModelOutput(logits, {"head": teacher}), given)["mgd"]


def test_nothing_masked_and_nothing_generated_is_a_squared_error() -> None:
    expected = 2e-5 / 2 * (feature(0) - feature(1)).square().sum()
    torch.testing.assert_close(value(built(mask_ratio=0.0), feature(0), feature(1)), expected)
    assert value(built(mask_ratio=0.0), feature(0), feature(0)) == 0


@pytest.mark.parametrize("mask", ["position", "channel"])
def test_what_is_masked_counts_as_zero_and_takes_no_gradient(mask: Mask) -> None:
    student = feature(0).requires_grad_()
    total = value(built(mask=mask, mask_ratio=0.5, alpha=2.0), student, torch.zeros(2, 6, 5, 7, dtype=torch.float64))
    total.backward()
    visible = student.grad != 0
    torch.testing.assert_close(total, torch.where(visible, student, 0.0).square().sum())
    groups = visible.flatten(2) if mask == "channel" else visible.transpose(1, 0).flatten(1).T
    assert (groups.all(-1) | ~groups.any(-1)).all()
    assert visible.any()
    assert not visible.all()


@pytest.mark.parametrize("mask", ["position", "channel"])
def test_the_masked_share_is_the_ratio(mask: Mask) -> None:
    uniform = torch.rand(1, 1, 300, 300, generator=torch.Generator().manual_seed(0))
    assert kept(uniform, mask_ratio=0.75, mask=mask).float().mean() == pytest.approx(0.25, abs=0.01)


def test_another_step_draws_another_mask() -> None:
    loss = built()
    values = [value(loss, feature(0), feature(1), step=step).item() for step in (0, 1, 0)]
    assert values[0] == values[2] != values[1]


def test_alpha_can_be_kept_per_number() -> None:
    plain, scaled = built(mask_ratio=0.0), built(mask_ratio=0.0, scale_alpha=True)
    ratio = value(scaled, feature(0), feature(1)) / value(plain, feature(0), feature(1))
    assert ratio.item() == pytest.approx(PUBLISHED_MAP / (6 * 5 * 7))


def test_masking_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="mask_ratio"):
        MGD(INFO, INFO, mask_ratio=1.0)
