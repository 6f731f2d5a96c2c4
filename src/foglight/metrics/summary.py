"""From counts and sums to scores.

Classes are rare, middling or common by thirds of the classes that have labels, in order of their label pixels (earlier
thirds take the odd ones); a class that is predicted but never labelled is rare.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from jaxtyping import Int64
from torch import Tensor

from foglight.metrics.boundary import boundary_iou
from foglight.metrics.calibration import BinSums, equal_mass_error, expected_calibration_error, merge_bins
from foglight.metrics.confusion import (
    Absent,
    class_accuracy,
    f1_score,
    frequency_weighted,
    intersection_over_union,
    mean_over_classes,
    pixel_accuracy,
)
from foglight.metrics.scores import ClassScores, ReliabilityBin, SegmentationScores, number, numbers
from foglight.metrics.selective import area_under_risk_coverage, error_auroc
from foglight.metrics.tally import Tally

FREQUENCY_GROUPS: Final = ("rare", "middling", "common")


def summarise(
    tally: Tally,
    *,
    class_names: Sequence[str],
    score_names: Sequence[str],
    absent: Absent,
    boundary: bool,
) -> SegmentationScores:
    """Every score that a tally holds.

    Args:
        tally: over all images.
        class_names: by class index.
        score_names: of the uncertainties, 1 - max p first.
        absent: whether an absent class is left out of means over classes or counts as 0.
        boundary: whether rims were counted.
    """
    confusion = tally.confusion
    iou, f1, accuracy = intersection_over_union(confusion), f1_score(confusion), class_accuracy(confusion)
    rims = boundary_iou(tally.boundary)
    overall = merge_bins(_sum(tally.top, (0, 1)), 15)
    return SegmentationScores(
        miou=number(mean_over_classes(iou, absent=absent)),
        fwiou=number(frequency_weighted(iou, confusion)),
        mean_f1=number(mean_over_classes(f1, absent=absent)),
        fw_f1=number(frequency_weighted(f1, confusion)),
        pixel_accuracy=number(pixel_accuracy(confusion)),
        class_accuracy=number(mean_over_classes(accuracy, absent=absent)),
        boundary_iou=number(mean_over_classes(rims, absent=absent)) if boundary else None,
        nll=number(tally.nll / confusion.sum()),
        brier=number(tally.brier / confusion.sum()),
        ece_10=number(expected_calibration_error(merge_bins(_sum(tally.top, (0, 1)), 10))),
        ece_15=number(expected_calibration_error(overall)),
        ece_equal_mass=number(equal_mass_error(tally.mass, bins=15)),
        ece_classwise=number(expected_calibration_error(tally.class_wise).mean()),
        ece_border=number(expected_calibration_error(merge_bins(_sum(_take(tally.top, 1), (0,)), 15))),
        ece_by_frequency=_by_frequency(tally),
        aurc=_by_score(area_under_risk_coverage, tally, score_names),
        error_auroc=_by_score(error_auroc, tally, score_names),
        per_class=tuple(
            map(
                ClassScores,
                class_names,
                numbers(iou),
                numbers(f1),
                numbers(accuracy),
                confusion.sum(1).tolist(),
                numbers(rims),
            )
        ),
        reliability=reliability(overall),
        pixels=int(confusion.sum()),
        images=int(tally.images),
    )


def reliability(sums: BinSums) -> tuple[ReliabilityBin, ...]:
    """The diagram of equal-width bins."""
    bins = len(sums.count)
    confidence, accuracy = numbers(sums.confidence / sums.count), numbers(sums.hits.double() / sums.count)
    return tuple(
        ReliabilityBin(index / bins, (index + 1) / bins, pixels, confidence[index], accuracy[index])
        for index, pixels in enumerate(sums.count.tolist())
    )


def frequency_groups(pixels: Int64[Tensor, " k"]) -> dict[str, Int64[Tensor, " members"]]:
    """Class indices by group, from the label pixels of each class.

    >>> {name: group.tolist() for name, group in frequency_groups(torch.tensor([90, 0, 5, 40])).items()}
    {'rare': [1, 2], 'middling': [3], 'common': [0]}
    """
    order = pixels.argsort(stable=True)
    labelled = order[pixels[order] > 0]
    thirds = labelled.tensor_split(len(FREQUENCY_GROUPS))
    groups: dict[str, Tensor] = dict(zip(FREQUENCY_GROUPS, thirds, strict=True))
    groups["rare"] = torch.cat([order[pixels[order] == 0], groups["rare"]])
    return groups


def _by_frequency(tally: Tally) -> dict[str, float | None]:
    by_prediction = merge_bins(_sum(tally.top, (0,)), 15)
    groups = frequency_groups(tally.confusion.sum(1))
    return {
        name: number(expected_calibration_error(_sum(_take(by_prediction, members), (0,))))
        for name, members in groups.items()
    }


def _by_score(score: Callable[[Tensor], Tensor], tally: Tally, names: Sequence[str]) -> dict[str, float | None]:
    return {name: number(score(histogram)) for name, histogram in zip(names, tally.errors, strict=True)}


def _sum(sums: BinSums, axes: tuple[int, ...]) -> BinSums:
    return BinSums(sums.count.sum(axes), sums.hits.sum(axes), sums.confidence.sum(axes))


def _take(sums: BinSums, index: int | Tensor) -> BinSums:
    return BinSums(sums.count[index], sums.hits[index], sums.confidence[index])
