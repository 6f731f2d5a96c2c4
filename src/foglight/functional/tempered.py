"""Logits over a temperature; at a temperature of one the very same tensor, which spares a map in either pass.

z' = z / tau

Shapes: b batch, k classes, *grid any grid (none for classification). Cost: one map of the logits' size, or none.
"""

from jaxtyping import Float
from torch import Tensor


def tempered(logits: Float[Tensor, "b k *grid"], temperature: float) -> Float[Tensor, "b k *grid"]:
    """The logits that a softmax at this temperature reads.

    >>> import torch
    >>> tempered(torch.tensor([[4.0, 2.0]]), 2.0)
    tensor([[2., 1.]])
    """
    return logits if temperature == 1 else logits / temperature
