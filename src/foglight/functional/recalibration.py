"""Element-wise recalibration of features, so that two networks' values become comparable.

k[e] = exp(-u / std(u)),  u = (f[e] - mean f)^2        (LIX eq. 13)

Symbols: f (b c m) the feature of b images, e an entry of one image; mean and std are over all c*m entries of an image
(population form).
Source: LIX, arXiv 2403.08215v2, eq. 13-14. Its Table V names further kernels without giving them; ours are
laplace exp(-|f - mean| / std|f - mean|), gaussian exp(-u / (2 var f)), linear (f - mean) / std f, none f.
Changed: VARIANCE_FLOOR stands under the root. The printed kernel is called Laplace in the paper; it is quadratic.
The printed kernel does not change under f -> a f + b, a not zero.
Cost: three maps of the feature's size.
"""

from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Kernel = Literal["paper", "laplace", "gaussian", "linear", "none"]
# A constant feature has no spread; its entries all become equal, with a zero gradient.
VARIANCE_FLOOR: Final = 1e-12


def recalibrate(feature: Float[Tensor, "b c m"], *, kernel: Kernel = "paper") -> Float[Tensor, "b c m"]:
    """The feature as the kernel sees it; gradients flow through mean and spread.

    >>> recalibrate(torch.tensor([[[0.0, 1.0, 2.0]]]), kernel="linear")
    tensor([[[-1.2247,  0.0000,  1.2247]]])
    """
    if kernel == "none":
        return feature
    deviation = feature - feature.mean((1, 2), keepdim=True)
    if kernel == "paper":
        squares = deviation.square()
        return torch.exp(-squares / _spread(squares))
    if kernel == "laplace":
        distances = deviation.abs()
        return torch.exp(-distances / _spread(distances))
    scaled = deviation / _spread(feature)
    return scaled if kernel == "linear" else torch.exp(-scaled.square() / 2)


def _spread(values: Float[Tensor, "b c m"]) -> Float[Tensor, "b 1 1"]:
    variance = values.var((1, 2), correction=0, keepdim=True)
    return (variance + VARIANCE_FLOOR).sqrt()
