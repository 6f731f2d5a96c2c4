"""The spread of a softmax under the last dropout, by so many draws that they count as the truth.

The classifier alone is run again, in chunks, on features of the one forward before it: elementwise dropout draws every
position for itself, so any selection of positions has the distribution that it has in the whole map.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foglight.models.dry_run import find_dropout
from foglight.models.network import Network

# Of the softmax: as trained, and with logits times four.
TEMPERATURES: Final = (1.0, 0.25)
# Features with a mask of their own: 64 MB.
DRAWS_AT_ONCE: Final = 2**24


def classifier(network: Network) -> tuple[Tensor, Tensor, float]:
    """Weight and bias of the 1x1 classifier, and the rate of the dropout that feeds it."""
    path = network.dropout_path()
    assert path.classifier is not None
    assert path.feeding is not None
    last = network.module.get_submodule(path.classifier)
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    return last.weight.flatten(1), last.bias, find_dropout(network.module, path.feeding).p


@torch.no_grad()
def sampled(
    network: Network, feature: Float[Tensor, "n c"], passes: int, *, seed: int
) -> dict[float, Float[Tensor, "n k"]]:
    """The standard deviation of the softmax over that many draws of the dropout, by temperature."""
    weight, bias, rate = classifier(network)
    centre = {t: (F.linear(feature, weight, bias) / t).softmax(1) for t in TEMPERATURES}
    sums = {t: torch.zeros(2, *centre[t].shape, dtype=torch.float64) for t in TEMPERATURES}
    at_once = max(DRAWS_AT_ONCE // feature.numel(), 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for start in range(0, passes, at_once):
            count = min(at_once, passes - start)
            logits = F.linear(F.dropout(feature.expand(count, *feature.shape), rate), weight, bias)
            for temperature, total in sums.items():
                # About the centre, where the sums do not cancel.
                deviation = ((logits / temperature).softmax(2) - centre[temperature]).double()
                total += torch.stack([deviation.sum(0), deviation.square().sum(0)])
    # Where nothing varies a rounding may leave a hair below zero.
    return {
        t: ((squares - total.square() / passes).clamp_min(0) / (passes - 1)).sqrt()
        for t, (total, squares) in sums.items()
    }


def relative_error(estimate: Tensor, truth: Tensor) -> float:
    """The sum of all errors over the sum of all true values."""
    return ((estimate - truth).abs().sum() / truth.sum()).item()
