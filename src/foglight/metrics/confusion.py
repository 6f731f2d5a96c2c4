r"""The confusion matrix, and every score that follows from it.

C[r, c] counts the pixels whose label is r and whose prediction is c. With I = diag C, L = sum_c C (label pixels) and
P = sum_r C (predicted pixels) of each class:

    IoU = I / (L + P - I)    F1 = 2 I / (L + P)    accuracy = I / L    pixel accuracy = sum I / sum L
    frequency-weighted score = sum_c L_c score_c / sum_c L_c

A class whose intersection and union are both 0 is absent: its scores are NaN and means leave it out. A class that is
predicted but never labelled has IoU and F1 of 0 and no accuracy.

Symbols: k classes; counts are int64, scores float64 fractions in [0, 1].
Source: Everingham et al. 2010, 3.1; the counting over the whole data set is that of CIRKD (winycg/CIRKD
utils/score.py) and IFVD, whose mean counts an absent class as 0: `absent="zero"` does so too.
Changed: integers instead of float32 counts, which lose single pixels above 2^24.
Cost: one `bincount` over the pixels, k^2 numbers.
"""

from typing import Literal

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

Absent = Literal["dash", "zero"]


def confusion_matrix(
    prediction: Int[Tensor, "*grid"], label: Int[Tensor, "*grid"], *, num_classes: int, ignore_index: int
) -> Int64[Tensor, "k k"]:
    """Pixels by (label, prediction); ignored labels are not counted.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 255]), num_classes=2, ignore_index=255)
    tensor([[1, 1],
            [0, 0]])

    Raises:
        ValueError: if a label that is not ignored, or a prediction, is no class.
    """
    valid = label != ignore_index
    label, prediction = label[valid].long(), prediction[valid].long()
    require_classes(label, num_classes, "labels")
    require_classes(prediction, num_classes, "predictions")
    return torch.bincount(label * num_classes + prediction, minlength=num_classes**2).view(num_classes, num_classes)


def require_classes(values: Int[Tensor, "*grid"], num_classes: int, what: str) -> None:
    """Refuse what would be counted in a wrong cell.

    Raises:
        ValueError: if a value is not in 0 .. num_classes - 1.
    """
    if values.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(values))
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(
            f"expected {what} in 0..{num_classes - 1}, got {wrong}; map other values to the ignore index first"
        )


def intersection_over_union(confusion: Int64[Tensor, "k k"]) -> Float64[Tensor, " k"]:
    """IoU by class, NaN where absent.

    >>> intersection_over_union(torch.tensor([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    tensor([0.5000, 0.6667,    nan], dtype=torch.float64)
    """
    intersection = confusion.diagonal().double()
    return intersection / (confusion.sum(0) + confusion.sum(1) - intersection)


def f1_score(confusion: Int64[Tensor, "k k"]) -> Float64[Tensor, " k"]:
    """F1 (the Dice coefficient) by class, NaN where absent."""
    return 2 * confusion.diagonal().double() / (confusion.sum(0) + confusion.sum(1))


def class_accuracy(confusion: Int64[Tensor, "k k"]) -> Float64[Tensor, " k"]:
    """Recall by class, NaN where the class has no label pixel."""
    return confusion.diagonal().double() / confusion.sum(1)


def pixel_accuracy(confusion: Int64[Tensor, "k k"]) -> Float64[Tensor, ""]:
    """Share of right pixels, NaN without pixels."""
    return confusion.diagonal().sum().double() / confusion.sum()


def mean_over_classes(scores: Float64[Tensor, " k"], *, absent: Absent = "dash") -> Float64[Tensor, ""]:
    """Plain mean; NaN entries are left out, or count as 0.

    >>> mean_over_classes(torch.tensor([0.5, float("nan")]).double())
    tensor(0.5000, dtype=torch.float64)
    >>> mean_over_classes(torch.tensor([0.5, float("nan")]).double(), absent="zero")
    tensor(0.2500, dtype=torch.float64)
    """
    return scores.nan_to_num(nan=0.0).mean() if absent == "zero" else scores.nanmean()


def frequency_weighted(scores: Float64[Tensor, " k"], confusion: Int64[Tensor, "k k"]) -> Float64[Tensor, ""]:
    """Mean weighted by each class's share of label pixels, NaN without pixels."""
    pixels = confusion.sum(1)
    return (scores * pixels).nansum() / pixels.sum()
