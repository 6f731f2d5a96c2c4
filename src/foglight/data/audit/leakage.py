"""How much memory alone would score: copy the label of the training image that looks most alike.

For every frame of a part, the training frame with the smallest squared distance between grey thumbnails gives its label
as the prediction; the mIoU over the part is the leakage figure. A network that only remembers training frames reaches
it. Frames of one drive, a second apart, make it high; honest parts make it low.

Symbols: n frames, d cells of a thumbnail, k classes. Labels are compared on their thinned grid (see `scan`).
Cost: n * m * d multiplications by blocks of rows, then one count of pixels per frame.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Int64, UInt8
from numpy.typing import NDArray

BLOCK_ROWS: Final = 512

Label = NDArray[np.uint8]


def nearest(thumbnails: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"]) -> Int[np.ndarray, " n"]:
    """For each thumbnail, the position of the closest other."""
    # float64: the squares of 192 bytes use up the digits of float32.
    thumbnails, others = thumbnails.astype(np.float64), others.astype(np.float64)
    squares = np.square(others).sum(axis=1)
    blocks = (thumbnails[start : start + BLOCK_ROWS] for start in range(0, len(thumbnails), BLOCK_ROWS))
    # |a - b|^2 without |a|^2, which is the same for every b.
    found = [(squares[None] - 2 * block @ others.T).argmin(axis=1) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, np.intp)


def confusion(
    prediction: UInt8[np.ndarray, "H W"], label: UInt8[np.ndarray, "H W"], *, num_classes: int
) -> Int64[np.ndarray, "k k"]:
    """Pixels by (label, prediction) where both name a class."""
    both = (label < num_classes) & (prediction < num_classes)
    index = label[both].astype(np.int64) * num_classes + prediction[both]
    return np.bincount(index, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_iou(counts: Int64[np.ndarray, "k k"]) -> float | None:
    """Over the classes that occur; None where none does.

    >>> mean_iou(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    0.25
    """
    intersection = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - intersection
    occurs = union > 0
    return float((intersection[occurs] / union[occurs]).mean()) if occurs.any() else None


def copied_label_miou(
    thumbnails: Float[np.ndarray, "n d"],
    labels: Sequence[Label | None],
    train_thumbnails: Float[np.ndarray, "m d"],
    train_labels: Sequence[Label | None],
    *,
    num_classes: int,
) -> float | None:
    """The leakage figure of a part, a fraction; None where either side has no label."""
    known = [position for position, label in enumerate(train_labels) if label is not None]
    if not known:
        return None
    counts = np.zeros((num_classes, num_classes), np.int64)
    for label, position in zip(labels, nearest(thumbnails, train_thumbnails[known]), strict=True):
        source = train_labels[known[position]]
        if label is not None and source is not None:
            counts += confusion(_at_size(source, label.shape), label, num_classes=num_classes)
    return mean_iou(counts)


def _at_size(label: Label, size: tuple[int, ...]) -> Label:
    """By nearest neighbour."""
    rows, columns = (np.arange(length) * have // length for length, have in zip(size, label.shape, strict=True))
    return label[np.ix_(rows, columns)]
