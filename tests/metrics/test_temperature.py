"""Is the temperature that is found the one with the smallest NLL, and is it refused where there is none?"""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from foglight.metrics.temperature import Likelihood, best_inverse, likelihood

PIXELS, CLASSES = 20_000, 5


def sampled(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits, and labels drawn from their own softmax: the best temperature is 1 but for the draw."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(PIXELS, CLASSES, generator=generator)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)


def found(logits: Tensor, label: Tensor, group: Tensor | None = None, *, groups: int = 1) -> Tensor:
    group = torch.zeros_like(label) if group is None else group
    best = best_inverse(partial(likelihood, logits, label, group), groups=groups)
    assert bool(best.found.all())
    return 1 / best.inverse


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 3.0, 15.0])
def test_a_known_temperature_is_recovered(factor: float) -> None:
    logits, label = sampled()
    temperature = float(found(factor * logits, label))
    assert temperature == pytest.approx(factor, rel=0.03)  # the draw
    assert temperature == pytest.approx(factor * float(found(logits, label)), rel=1e-5)  # the search


def test_derivatives_are_those_of_the_cross_entropy() -> None:
    logits, label = sampled()
    logits = logits.double()
    inverse = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    nll = functional.cross_entropy(inverse * logits, label, reduction="sum")
    (slope,) = torch.autograd.grad(nll, inverse, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, inverse)
    sums = likelihood(logits, label, torch.zeros_like(label), inverse.detach().view(1, 1))
    torch.testing.assert_close(sums, Likelihood(*(one.detach().view(1, 1) for one in (nll, slope, curvature))))


def test_no_temperature_beside_it_is_better() -> None:
    logits, label = sampled()
    inverse = 1 / found(3 * logits, label)
    points = torch.stack([inverse * 0.99, inverse, inverse * 1.01])
    nll = likelihood(3 * logits, label, torch.zeros_like(label), points).nll[:, 0]
    assert nll.argmin() == 1


def test_groups_are_searched_as_if_each_were_alone() -> None:
    logits, label = sampled()
    group = torch.arange(PIXELS) % 3
    factors = torch.tensor([0.4, 1.0, 6.0])
    scaled = logits * factors[group].unsqueeze(1)
    together = found(scaled, label, group, groups=3)
    alone = torch.cat([found(scaled[group == one], label[group == one]) for one in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["always right", "always wrong", "says nothing", "no pixel"])
def test_where_there_is_no_best_one_it_is_not_found(kind: str) -> None:
    logits, label = sampled()
    match kind:
        case "always right":
            label = logits.argmax(1)
        case "always wrong":
            label = logits.argmin(1)
        case "says nothing":
            logits = torch.zeros_like(logits)
        case _:
            logits, label = logits[:0], label[:0]
    best = best_inverse(partial(likelihood, logits, label, torch.zeros_like(label)))
    assert (best.found.item(), best.inverse.item()) == (False, 1.0)
