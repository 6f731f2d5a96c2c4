r"""Over what a pixel weight may vary: everything else is averaged away before the weight function is applied.

    logit      "b k *grid" -> "b k *grid"    nothing is averaged
    pixel      "b k *grid" -> "b 1 *grid"    mean over classes
    class      "b k *grid" -> "b k 1 1"      mean over space, per image
    image      "b k *grid" -> "b 1 1 1"      mean over classes and space
    position   "b k *grid" -> "1 k *grid"    mean over the batch

Source: FOTF, section 3, read as "the weight varies over"; its words are logits, pixel, channel (here class) and sample
(here image). Its other reading, "averaged across", is channel = pixel, pixel = class, sample = position.
Ignored pixels are averaged with the others, as the paper's equations do. Cost: one pass over the map.
"""

from typing import Final

from jaxtyping import Float
from torch import Tensor

from foglight.config.schema import Granularity
from foglight.losses.base import Distribution

VARIES_OVER_CLASSES: Final = frozenset[Granularity]({"logit", "class", "position"})
VARIES_OVER_SPACE: Final = frozenset[Granularity]({"logit", "pixel", "position"})


def merge(
    values: Float[Tensor, "b channels *grid"], granularity: Granularity
) -> Float[Tensor, "merged_b merged_channels *merged_grid"]:
    """Average `values` over everything that the granularity does not name; averaged axes keep length one.

    >>> import torch
    >>> sigma = torch.rand(2, 5, 3, 4)
    >>> [tuple(merge(sigma, name).shape) for name in ("pixel", "class", "image", "position")]
    [(2, 1, 3, 4), (2, 5, 1, 1), (2, 1, 1, 1), (1, 5, 3, 4)]
    """
    space = tuple(range(2, values.ndim))
    match granularity:
        case "logit":
            return values
        case "pixel":
            return values.mean(dim=1, keepdim=True)
        case "class":
            # On classification outputs there is no space, and an empty tuple would average over everything.
            return values.mean(dim=space, keepdim=True) if space else values
        case "image":
            return values.mean(dim=(1, *space), keepdim=True)
        case "position":
            return values.mean(dim=0, keepdim=True)


def keeps_divergence(distribution: Distribution, granularity: Granularity, *, class_resolved: bool) -> bool:
    """Whether a sum of weighted divergences is still one: the weight is constant over each distribution.

    >>> keeps_divergence("class", "class", class_resolved=True), keeps_divergence("space", "class", class_resolved=True)
    (False, True)
    """
    match distribution:
        case "class":
            return not (class_resolved and granularity in VARIES_OVER_CLASSES)
        case "space":
            return granularity not in VARIES_OVER_SPACE
        case "none":
            return True
