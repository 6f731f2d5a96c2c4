"""What a segmentation is worth: every score of one evaluation as plain numbers, ready for JSON.

Accuracies, IoU and calibration errors are fractions in [0, 1], the NLL is in nats, the Brier score lies in [0, 2]. None
stands for what is undefined (an absent class, no pixel at all) and is printed as a dash.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor


@final
@dataclass(frozen=True)
class ClassScores:
    """One class.

    Attributes:
        name: of the class.
        iou: intersection over union.
        f1: the Dice coefficient.
        accuracy: share of the class's label pixels that are found (recall).
        pixels: label pixels of the class.
        boundary_iou: of its rim; None also where boundaries were not asked for.
    """

    name: str
    iou: float | None
    f1: float | None
    accuracy: float | None
    pixels: int
    boundary_iou: float | None


@final
@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram.

    Attributes:
        low: smallest confidence of the bin.
        high: largest one.
        pixels: in the bin.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
    """

    low: float
    high: float
    pixels: int
    confidence: float | None
    accuracy: float | None


@final
@dataclass(frozen=True)
class SegmentationScores:
    """All scores of one evaluation.

    Attributes:
        miou: mean IoU over the classes that occur.
        fwiou: IoU weighted by label frequency.
        mean_f1: mean F1 (mFsc).
        fw_f1: F1 weighted by label frequency (fwFsc).
        pixel_accuracy: share of right pixels.
        class_accuracy: mean recall over the classes that have labels.
        boundary_iou: mean boundary IoU; None also where boundaries were not asked for.
        nll: negative log-likelihood per pixel, in nats.
        brier: Brier score per pixel, in [0, 2].
        ece_10: top-label calibration error, 10 equal-width bins.
        ece_15: the same with 15 bins.
        ece_equal_mass: the same with 15 bins of equal mass.
        ece_classwise: mean over classes, 15 bins each.
        ece_border: `ece_15` over the pixels near a label border.
        ece_by_frequency: `ece_15` over the pixels predicted as a rare, a middling or a common class. Grouped by
            prediction: grouped by label, even a perfectly calibrated network would look wrong.
        aurc: area under the risk-coverage curve by name of the uncertainty.
        error_auroc: how well that uncertainty tells errors from hits.
        per_class: in order of the class index.
        reliability: the diagram behind `ece_15`.
        pixels: that were scored.
        images: that were seen.
    """

    miou: float | None
    fwiou: float | None
    mean_f1: float | None
    fw_f1: float | None
    pixel_accuracy: float | None
    class_accuracy: float | None
    boundary_iou: float | None
    nll: float | None
    brier: float | None
    ece_10: float | None
    ece_15: float | None
    ece_equal_mass: float | None
    ece_classwise: float | None
    ece_border: float | None
    ece_by_frequency: Mapping[str, float | None]
    aurc: Mapping[str, float | None]
    error_auroc: Mapping[str, float | None]
    per_class: tuple[ClassScores, ...]
    reliability: tuple[ReliabilityBin, ...]
    pixels: int
    images: int

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, numbers and None."""
        content = dataclasses.asdict(self)
        return content | {name: list(content[name]) for name in ("per_class", "reliability")}


def number(value: Tensor) -> float | None:
    """A score as a plain number; None where it is NaN, or infinite, which JSON cannot say."""
    plain = float(value)
    return plain if math.isfinite(plain) else None


def numbers(values: Tensor) -> list[float | None]:
    """`number` of every entry."""
    return [number(value) for value in values.cpu()]
