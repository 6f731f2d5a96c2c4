"""The scores once more, slowly: loops over pixels and classes in NumPy."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def iou(prediction: Array, label: Array, cls: int, ignore: int = 255) -> float:
    valid = label != ignore
    p, t = (prediction == cls) & valid, (label == cls) & valid
    return float((p & t).sum() / (p | t).sum()) if (p | t).any() else float("nan")


def eroded(mask: Array, distance: int) -> Array:
    """`distance` erosions with a 3x3 square; the outside is background."""
    for _ in range(distance):
        padded = np.pad(mask, 1)
        windows = [padded[i : i + mask.shape[0], j : j + mask.shape[1]] for i in range(3) for j in range(3)]
        mask = np.logical_and.reduce(windows)
    return mask


def rim(mask: Array, distance: int) -> Array:
    return mask & ~eroded(mask, distance)


def ece(confidence: Array, hit: Array, edges: Array) -> float:
    """Bins [low, high), the last one closed."""
    total = 0.0
    for index, (low, high) in enumerate(pairwise(edges)):
        last = index == len(edges) - 2
        inside = (confidence >= low) & ((confidence <= high) if last else (confidence < high))
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return float(total)


def equal_mass_ece(confidence: Array, hit: Array, bins: int) -> float:
    order = np.argsort(confidence, kind="stable")
    chunks = np.array_split(order, bins)
    return float(sum(len(c) / len(order) * abs(hit[c].mean() - confidence[c].mean()) for c in chunks))


def aurc(uncertainty: Array, wrong: Array) -> float:
    """Without ties."""
    order = np.argsort(uncertainty, kind="stable")
    return float((wrong[order].cumsum() / np.arange(1, len(wrong) + 1)).mean())


def auroc(uncertainty: Array, wrong: Array) -> float:
    """Over all pairs, a tie being half a win."""
    difference = uncertainty[wrong][:, None] - uncertainty[~wrong][None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())
