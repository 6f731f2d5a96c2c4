r"""Boundary IoU: how well the rims of the segments agree, by class.

For the mask M_c of class c, M_c^d are its pixels within d of something that is not c (Chebyshev distance; what lies
outside the image is not c either). With G of the label and P of the prediction:

    boundary IoU_c = |G_c^d and P_c^d| / |G_c^d or P_c^d|,    d = max(1, round(0.02 * image diagonal))

Masks of one map are disjoint, so a pixel is within d of another class exactly where the largest and the smallest class
in its (2d + 1)^2 window differ: two max-poolings serve all classes at once.

Symbols: k classes, H W the label's grid; d in pixels. Intersections and unions are summed over the data set.
Source: Cheng et al. 2021, equation 3 (bowenc0221/boundary-iou-api: 3x3 erosion, d times, of the zero-padded mask).
Changed: classes of one map instead of binary masks of instances; ignored pixels are taken out of label and prediction
alike, are not counted and make no rim.
Cost: eight one-dimensional poolings per batch, whatever k is.
"""

import math
from typing import Final

import torch
from jaxtyping import Bool, Float64, Int, Int64
from torch import Tensor
from torch.nn import functional as F

DIAGONAL_SHARE: Final = 0.02


def boundary_width(height: int, width: int, *, share: float = DIAGONAL_SHARE) -> int:
    """The distance d in pixels.

    >>> boundary_width(1024, 2048)
    46
    """
    return max(1, round(share * math.hypot(height, width)))


def near_border(
    classes: Int[Tensor, "b H W"], valid: Bool[Tensor, "b H W"], *, distance: int, image_edge: bool
) -> Bool[Tensor, "b H W"]:
    """Valid pixels within `distance` of another valid class, or (`image_edge`) of the outside of the image.

    >>> row = torch.tensor([[[0, 0, 0, 1, 1]]])
    >>> near_border(row, row >= 0, distance=1, image_edge=False).int()
    tensor([[[0, 0, 1, 1, 0]]], dtype=torch.int32)
    """
    # float32 holds class indices exactly up to 2^24; infinity keeps ignored pixels out of either extreme.
    values = classes.float()
    largest = _window_max(values.masked_fill(~valid, -math.inf), distance)
    smallest = -_window_max((-values).masked_fill(~valid, -math.inf), distance)
    near = largest != smallest
    if image_edge:
        near |= _near_edge(classes.shape[1], classes.shape[2], distance, classes.device)
    return near & valid


def _window_max(values: Tensor, distance: int) -> Tensor:
    side = 2 * distance + 1
    rows = F.max_pool2d(values.unsqueeze(1), (side, 1), stride=1, padding=(distance, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, distance)).squeeze(1)


def _near_edge(height: int, width: int, distance: int, device: torch.device) -> Tensor:
    def near(length: int) -> Tensor:
        position = torch.arange(length, device=device)
        return torch.minimum(position, length - 1 - position) < distance

    return near(height).unsqueeze(1) | near(width).unsqueeze(0)


def boundary_counts(
    prediction: Int[Tensor, "b H W"],
    label: Int[Tensor, "b H W"],
    *,
    num_classes: int,
    ignore_index: int,
    share: float = DIAGONAL_SHARE,
) -> Int64[Tensor, "2 k"]:
    """Intersection and union of the rims, by class; sums over batches are the data set's."""
    valid = label != ignore_index
    distance = boundary_width(label.shape[1], label.shape[2], share=share)
    label_rim = near_border(label, valid, distance=distance, image_edge=True)
    predicted_rim = near_border(prediction, valid, distance=distance, image_edge=True)

    def count(classes: Tensor, where: Tensor) -> Tensor:
        return torch.bincount(classes[where].long(), minlength=num_classes)

    intersection = count(label, label_rim & predicted_rim & (label == prediction))
    return torch.stack([intersection, count(label, label_rim) + count(prediction, predicted_rim) - intersection])


def boundary_iou(counts: Int64[Tensor, "2 k"]) -> Float64[Tensor, " k"]:
    """Boundary IoU by class, NaN where absent."""
    return counts[0].double() / counts[1]
