"""What is logged of a pixel weight: mean, spread, largest value, quantiles and the mean per class of sigma and of w.

spread = population standard deviation. A class's mean is over its channel where the map has one per class, otherwise
over the valid pixels that the label gives it. Two findings deserve a sentence: w that hardly varies (it only rescales
the loss) and class means that lie far apart (it reweights classes, not pixels).
Cost: a sort of at most a million values per map, only when a log is written.
"""

from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.resize import resize_label
from foglight.losses.weighting.pixel_weight import Observation

QUANTILES: Final = (0.5, 0.9, 0.99)
# torch.quantile takes no more than 2^24 values; every n-th of them tells a quantile as well.
MOST_SORTED: Final = 1_000_000
# Below this many pixels a class's mean says more about the batch than about the weight.
FEWEST_PIXELS: Final = 32
FLAT_SPREAD: Final = 0.05
UNEVEN_CLASSES: Final = 5.0


def summarise(values: Float[Tensor, "..."]) -> dict[str, float]:
    """Mean, spread, largest value and quantiles; empty without values.

    >>> summarise(torch.tensor([1.0, 3.0]))["spread"]
    1.0
    """
    flat = values.flatten()
    if not len(flat):
        return {}
    ordered = flat[:: -(-len(flat) // MOST_SORTED)].float()
    quantiles = torch.quantile(ordered, ordered.new_tensor(QUANTILES)).tolist()
    figures = {"mean": flat.mean().item(), "spread": flat.std(correction=0).item(), "max": flat.max().item()}
    return figures | {f"q{round(100 * at)}": value for at, value in zip(QUANTILES, quantiles, strict=True)}


def observation_figures(observation: Observation) -> dict[str, float]:
    """Everything that is logged of one term, by name."""
    valid = observation.valid.unsqueeze(1)
    weight = observation.weight.expand(len(valid), -1, *valid.shape[2:])
    figures = {f"sigma_{name}": value for name, value in summarise(observation.sigma).items()}
    figures |= {f"w_{name}": value for name, value in summarise(weight[valid.expand_as(weight)]).items()}
    figures |= {f"sigma_class_{k}": value for k, value in class_means(observation.sigma, observation).items()}
    return figures | {f"w_class_{k}": value for k, value in class_means(weight, observation).items()}


def class_means(values: Float[Tensor, "b channels *grid"], observation: Observation) -> dict[int, float]:
    """Mean by class; empty where neither the channels nor a label say which class a value is of."""
    if values.shape[1] > 1:
        return dict(enumerate(values.transpose(0, 1).flatten(1).mean(dim=1).tolist()))
    if observation.label is None:
        return {}
    label = resize_label(observation.label, values.shape[2:]).flatten()
    counted = label != observation.ignore_index
    label, flat = label[counted].long(), values.flatten()[counted].double()
    pixels = torch.bincount(label)
    sums = torch.bincount(label, weights=flat, minlength=len(pixels))
    return {k: (sums[k] / pixels[k]).item() for k in range(len(pixels)) if pixels[k] >= FEWEST_PIXELS}


def uneven_classes(figures: Mapping[str, float]) -> bool:
    """Whether the class means of w differ more than fivefold.

    >>> uneven_classes({"w_class_0": 1.0, "w_class_3": 6.0})
    True
    """
    means = [value for name, value in figures.items() if name.startswith("w_class_")]
    return bool(means) and max(means) > UNEVEN_CLASSES * min(means)


def flat_weight(figures: Mapping[str, float]) -> bool:
    """Whether w varies by less than a twentieth of its mean.

    >>> flat_weight({"w_mean": 1.04, "w_spread": 0.02})
    True
    """
    return "w_mean" in figures and figures["w_spread"] < FLAT_SPREAD * figures["w_mean"]
