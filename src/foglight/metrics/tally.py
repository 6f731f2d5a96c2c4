"""What one batch adds to the scores: counts and sums, nothing per pixel.

Logits are read as log-probabilities after a log-softmax, which leaves log-probabilities as they are. Everything is
counted on the label's grid, over the pixels whose label is not ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from foglight.metrics.boundary import boundary_counts, near_border
from foglight.metrics.calibration import (
    MASS_CELLS,
    BinSums,
    bin_sums,
    brier_score,
    class_wise_sums,
    equal_mass_cell,
    equal_width_bin,
    negative_log_likelihood,
)
from foglight.metrics.confusion import confusion_matrix, require_classes
from foglight.metrics.selective import UNIT_RANGE, error_histogram

# The 10 and the 15 equal-width bins are both unions of these.
TOP_BINS: Final = 30
CLASS_WISE_BINS: Final = 15


@final
@dataclass(frozen=True)
class Uncertainty:
    """A map that may tell errors from hits; larger is less certain.

    Attributes:
        values: one number per pixel of the label's grid.
        limits: their range; what lies outside counts as the nearer end.
    """

    values: Float[Tensor, "*grid"]
    limits: tuple[float, float] = UNIT_RANGE


class Tally(NamedTuple):
    """Counts (int64) and sums (float64) over pixels; those of different images add up.

    A named tuple, which torchmetrics lets through where it refuses a frozen dataclass.

    Attributes:
        confusion: pixels by (label, prediction).
        boundary: intersection and union of the rims by class; zero where boundaries were not asked for.
        nll: sum of the negative log-likelihood.
        brier: sum of the Brier score.
        top_counts: pixels and hits by (far from or near a label border, predicted class, bin of the top label).
        top_confidence: sum of the confidences there.
        mass_counts: pixels and hits by cell for bins of equal mass.
        mass_confidence: sum of the confidences there.
        class_wise_counts: pixels and hits by (class, bin of its probability).
        class_wise_confidence: sum of the probabilities there.
        errors: right and wrong pixels by cell of uncertainty: 1 - max p first, then those handed in.
        images: that were seen.
    """

    confusion: Int64[Tensor, "k k"]
    boundary: Int64[Tensor, "2 k"]
    nll: Float64[Tensor, ""]
    brier: Float64[Tensor, ""]
    top_counts: Int64[Tensor, "2 2 k bins"]
    top_confidence: Float64[Tensor, "2 k bins"]
    mass_counts: Int64[Tensor, "2 cells"]
    mass_confidence: Float64[Tensor, " cells"]
    class_wise_counts: Int64[Tensor, "2 k bins"]
    class_wise_confidence: Float64[Tensor, "k bins"]
    errors: Int64[Tensor, "s 2 cells"]
    images: Int64[Tensor, ""]

    @property
    def top(self) -> BinSums:
        """Top-label bins by (far or near, predicted class, bin)."""
        return BinSums(self.top_counts[0], self.top_counts[1], self.top_confidence)

    @property
    def mass(self) -> BinSums:
        """Top-label cells in ascending confidence."""
        return BinSums(self.mass_counts[0], self.mass_counts[1], self.mass_confidence)

    @property
    def class_wise(self) -> BinSums:
        """By (class, bin)."""
        return BinSums(self.class_wise_counts[0], self.class_wise_counts[1], self.class_wise_confidence)


def tally(
    logits: Float[Tensor, "b k H W"],
    label: Int[Tensor, "b H W"],
    uncertainties: Sequence[Uncertainty] = (),
    *,
    ignore_index: int,
    border_width: int,
    boundary: bool,
) -> Tally:
    """Count one batch.

    Raises:
        ValueError: if a label is neither a class nor ignored, or a logit or an uncertainty is NaN.
    """
    valid = label != ignore_index
    target, num_classes = label[valid].long(), logits.shape[1]
    require_classes(target, num_classes, "labels")
    # Indices of `max` rather than `argmax`, which is five times slower along this axis on a CPU.
    prediction = logits.max(1).indices
    predicted = prediction[valid]
    log_probability = _log_probability(logits, valid)
    best = log_probability.gather(1, predicted.unsqueeze(1)).squeeze(1)
    hit, probability, confidence = predicted == target, log_probability.exp(), best.exp()
    border = near_border(label, valid, distance=border_width, image_edge=False)[valid]
    top = _top_label(border * num_classes + predicted, hit, confidence, num_classes)
    mass = bin_sums(equal_mass_cell(confidence), hit, confidence, bins=MASS_CELLS)
    class_wise = class_wise_sums(probability, target, bins=CLASS_WISE_BINS)
    # -expm1 keeps 1 - max p exact where p is close to 1.
    ranked = [Uncertainty(-torch.expm1(best)), *(Uncertainty(u.values[valid], u.limits) for u in uncertainties)]
    rims = torch.zeros((2, num_classes), dtype=torch.int64, device=label.device)
    if boundary:
        rims = boundary_counts(prediction, label, num_classes=num_classes, ignore_index=ignore_index)
    return Tally(
        confusion=confusion_matrix(predicted, target, num_classes=num_classes, ignore_index=ignore_index),
        boundary=rims,
        nll=negative_log_likelihood(log_probability, target),
        brier=brier_score(probability, target),
        top_counts=torch.stack([top.count, top.hits]),
        top_confidence=top.confidence,
        mass_counts=torch.stack([mass.count, mass.hits]),
        mass_confidence=mass.confidence,
        class_wise_counts=torch.stack([class_wise.count, class_wise.hits]),
        class_wise_confidence=class_wise.confidence,
        errors=torch.stack([error_histogram(u.values, ~hit, limits=u.limits) for u in ranked]),
        images=torch.tensor(len(logits), device=logits.device),
    )


def _log_probability(logits: Tensor, valid: Tensor) -> Tensor:
    """Of the valid pixels, [n, k]."""
    # Over the channel axis as it lies in memory: over a last axis of k the softmax is many times slower.
    log_map = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
    log_probability = log_map.movedim(1, -1)[valid]
    if bool(log_probability.isnan().any()):
        raise ValueError("expected finite logits, got NaN or infinity; the network that made them has diverged")
    return log_probability


def _top_label(group: Tensor, hit: Tensor, confidence: Tensor, num_classes: int) -> BinSums:
    index = group * TOP_BINS + equal_width_bin(confidence, TOP_BINS)
    shape = (2, num_classes, TOP_BINS)
    sums = bin_sums(index, hit, confidence, bins=2 * num_classes * TOP_BINS)
    return BinSums(sums.count.view(shape), sums.hits.view(shape), sums.confidence.view(shape))
