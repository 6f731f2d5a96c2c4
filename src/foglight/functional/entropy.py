"""Entropy of a class distribution, at every position.

H[i] = -sum_c p[c, i] * log p[c, i], in nats, from 0 to log k

Symbols: p probabilities (b k *grid), given by their logarithms.
Cost: one map of the size of p.
"""

from jaxtyping import Float
from torch import Tensor


def entropy(log_probability: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b 1 *grid"]:
    """In nats.

    >>> import torch
    >>> entropy(torch.tensor([[0.5, 0.5]]).log())
    tensor([[0.6931]])
    """
    return -(log_probability.exp() * log_probability).sum(dim=1, keepdim=True)
