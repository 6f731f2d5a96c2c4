"""One sigmoid channel written as two softmax channels.

sigmoid(z) = exp(z) / (exp(0) + exp(z)), so the logits [0, z] say the same of (background, foreground).

Shapes: b batch, *grid any grid (none for classification).
Cost: one map of zeros.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def at_least_two_classes(logits: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b classes *grid"]:
    """Logits of one channel become [0, z]; logits of more channels stay what they are.

    >>> at_least_two_classes(torch.tensor([[3.0]]))
    tensor([[0., 3.]])
    """
    if logits.shape[1] != 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=1)
