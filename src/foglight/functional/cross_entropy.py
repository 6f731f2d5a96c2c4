"""Cross-entropy of every pixel, before it is summed.

l[i] = -a[y_i] * ((1 - e) * log q[y_i, i]) - e/k * sum_c a[c] * log q[c, i],  q = softmax_c(z);  zero where ignored.

Symbols: z logits (b k *grid), y labels (b *grid), e label smoothing in [0, 1), a class weights (k), one by default.
The usual mean divides the sum of l by the sum of a[y_i] over the valid pixels: `label_mass` counts that.
Source: torch.nn.functional.cross_entropy, whose smoothing and class weights these are.
Cost: one map of the size of z, kept for the gradient; from the head's grid only strips of it, see
`upsampled_cross_entropy`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.masking import legal_label, valid_count
from foglight.functional.resize import resize
from foglight.functional.upsampled_cross_entropy import upsampled_cross_entropy


def cross_entropy_map(
    logits: Float[Tensor, "b k *grid"],
    label: Int[Tensor, "b *grid"],
    *,
    ignore_index: int,
    class_weights: Float[Tensor, " k"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, "b 1 *grid"]:
    """Per-pixel cross-entropy on logits that are on the label's grid already; zero at ignored pixels.

    >>> cross_entropy_map(torch.zeros(2, 4), torch.tensor([1, 255]), ignore_index=255)
    tensor([[1.3863],
            [0.0000]])
    """
    values = F.cross_entropy(
        logits,
        label.long(),
        weight=None if class_weights is None else class_weights.to(logits.dtype),
        ignore_index=ignore_index,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return values.unsqueeze(1)


def cross_entropy_at_label_grid(
    logits: Float[Tensor, "b k *grid"],
    label: Int[Tensor, "b *label_grid"],
    *,
    align_corners: bool,
    ignore_index: int,
    class_weights: Float[Tensor, " k"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, "b 1 *label_grid"]:
    """The same on logits of the head's grid, resized on the way.

    >>> label = torch.tensor([[[0, 255]]])
    >>> cross_entropy_at_label_grid(torch.zeros(1, 4, 1, 1), label, align_corners=True, ignore_index=255)
    tensor([[[[1.3863, 0.0000]]]])
    """
    if label_smoothing or logits.ndim != 4 or logits.shape[2:] == label.shape[1:]:
        return cross_entropy_map(
            resize(logits, label.shape[1:], align_corners=align_corners),
            label,
            ignore_index=ignore_index,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )
    legal, valid = legal_label(label, ignore_index=ignore_index)
    values = upsampled_cross_entropy(logits, legal, align_corners=align_corners)
    if class_weights is not None:
        values = values * class_weights.to(values.dtype)[legal.long()]
    return torch.where(valid, values, 0.0).unsqueeze(1)


def label_mass(
    label: Int[Tensor, "b *grid"],
    valid: Bool[Tensor, "b *grid"],
    *,
    ignore_index: int,
    dtype: torch.dtype,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """The number of valid pixels, or the sum of their class weights; one where there is none, to divide by.

    >>> label_mass(torch.tensor([0, 1, 255]), torch.tensor([True, True, False]), ignore_index=255, dtype=torch.float32)
    tensor(2.)
    """
    if class_weights is None:
        return valid_count(valid, dtype=dtype)
    legal, _ = legal_label(label, ignore_index=ignore_index)
    total = torch.where(valid, class_weights[legal.long()], 0.0).sum().to(dtype)
    return torch.where(total > 0, total, torch.ones_like(total))
