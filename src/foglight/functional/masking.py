"""Ignored labels: a legal stand-in for each, and a mask that says which those were.

legal[i] = label[i] where label[i] != ignore_index, else 0;  valid[i] = (label[i] != ignore_index).

The stand-in keeps `gather` and one-hot encodings in range without a branch on the data; whoever uses it must drop the
places where `valid` is False.

Shapes: b batch, k classes, *grid any grid (none for classification).
Cost: two maps of the label's size.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.resize import resize_label
from foglight.types import Batch


def legal_label(
    label: Int[Tensor, "b *grid"], *, ignore_index: int
) -> tuple[Int[Tensor, "b *grid"], Bool[Tensor, "b *grid"]]:
    """The label with class 0 in the place of `ignore_index`, and where it was not ignored.

    >>> legal_label(torch.tensor([2, 255]), ignore_index=255)
    (tensor([2, 0]), tensor([ True, False]))
    """
    valid = label != ignore_index
    return torch.where(valid, label, 0), valid


def valid_count(valid: Bool[Tensor, "b *grid"], *, dtype: torch.dtype) -> Float[Tensor, ""]:
    """How many positions are valid; one where none is, to divide by.

    >>> valid_count(torch.tensor([True, True, False]), dtype=torch.float32)
    tensor(2.)
    """
    return valid.sum().clamp(min=1).to(dtype)


def position_count(values: Float[Tensor, "b c *grid"], valid: Bool[Tensor, "b *grid"] | None) -> Float[Tensor, ""]:
    """How many positions of a map are valid, all where `valid` is None; one where none is.

    >>> position_count(torch.zeros(2, 19, 3, 3), None)
    tensor(18.)
    """
    if valid is not None:
        return valid_count(valid, dtype=values.dtype)
    positions = values.numel() // max(values.shape[1], 1)
    return torch.full((), max(positions, 1), dtype=values.dtype, device=values.device)


def at_label(values: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *grid"]) -> Float[Tensor, "b 1 *grid"]:
    """Of every position, the value of the class that the (legal) label names.

    >>> at_label(torch.tensor([[0.1, 0.9]]), torch.tensor([1]))
    tensor([[0.9000]])
    """
    return values.gather(1, label.unsqueeze(1).long())


def taught_positions(
    values: Float[Tensor, "b c *grid"], batch: Batch, *, mask_ignored: bool
) -> Bool[Tensor, "b *grid"] | None:
    """Where a teacher is followed: everywhere, which is None, or not where the label is ignored.

    The label is brought to the grid of `values` by nearest neighbour. Unlabelled images are followed everywhere.
    """
    if not mask_ignored or batch.label is None:
        return None
    taught = batch.label != batch.ignore_index
    if batch.labelled is not None:
        taught = taught | ~batch.labelled.view(-1, *(1 for _ in batch.label.shape[1:]))
    return resize_label(taught, values.shape[2:])
