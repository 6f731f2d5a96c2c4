"""The labels as a loss on another grid reads them.

label[i] = the batch's label at the nearest position where it says something, else 0;  valid[i] says where it does.

Shapes: b batch, c channels, *grid the grid of the values (none for classification).
Source: nearest neighbour, see `resize_label`. Published code that uses labels in a dense loss does the same.
Cost: two maps of the grid's size.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.resize import resize_label
from foglight.types import Batch


def label_on_grid(
    values: Float[Tensor, "b c *grid"], batch: Batch
) -> tuple[Int[Tensor, "b *grid"], Bool[Tensor, "b *grid"]]:
    """Legal labels on the grid of `values`, and where they hold; nowhere in unlabelled images or without labels.

    >>> batch = Batch(torch.zeros(1, 3, 2, 2), label=torch.tensor([[[3, 3], [255, 255]]]))
    >>> label_on_grid(torch.zeros(1, 5, 2, 1), batch)
    (tensor([[[3],
             [0]]]), tensor([[[ True],
             [False]]]))
    """
    size = values.shape[2:]
    if batch.label is None:
        nothing = torch.zeros((len(values), *size), dtype=torch.long, device=values.device)
        return nothing, nothing.bool()
    # Resized first: what follows passes over the small grid only.
    label = resize_label(batch.label, size)
    valid = replace(batch, label=label).valid
    # An unlabelled image may hold anything, so its labels are replaced before they are read.
    return torch.where(valid, label, torch.zeros_like(label)), valid
