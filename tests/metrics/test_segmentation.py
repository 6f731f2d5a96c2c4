"""Does one pass over batches give every score, whatever the batches, and None where there is nothing to score?"""

import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foglight.metrics.boundary import near_border
from foglight.metrics.segmentation import MAX_PROB, SegmentationMetrics, SegmentationScores
from metrics import brute

CLASSES = 5
NAMES = ("road", "car", "tree", "sky", "boat")


def draw(images: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Logits, labels without class 4 and with ignored pixels, and an entropy map."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, CLASSES, 4, 5, generator=generator)
    coarse[:, 4] -= 100
    truth = torch.nn.functional.interpolate(coarse, (18, 22), mode="bilinear")
    logits = 2 * truth + 1.5 * torch.randn(truth.shape, generator=generator)
    label = truth.argmax(1)
    label[torch.rand(label.shape, generator=generator) < 0.1] = 255
    entropy = torch.special.entr(logits.softmax(1)).sum(1)
    return logits, label, {"entropy": entropy}


def metrics(**options: Any) -> SegmentationMetrics:
    return SegmentationMetrics(
        CLASSES, class_names=NAMES, score_names=("entropy",), score_limits={"entropy": (0.0, 2.0)}, **options
    )


def leaves(content: Any) -> list[Any]:
    """Every leaf of a nested result, in order."""
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in leaves(value)]
    return [leaf for value in content for leaf in leaves(value)] if isinstance(content, list) else [content]


def require_close(actual: SegmentationScores, expected: SegmentationScores) -> None:
    for ours, theirs in zip(leaves(actual.to_dict()), leaves(expected.to_dict()), strict=True):
        assert ours == (pytest.approx(theirs, rel=1e-9) if isinstance(theirs, float) else theirs)


def test_scores_equal_brute_force() -> None:
    logits, label, scores = draw()
    metric = metrics()
    metric.update(logits, label, scores)
    result = metric.compute()
    valid = label != 255
    probability = logits.softmax(1).movedim(1, -1)[valid].double().numpy()
    target, prediction = label[valid].numpy(), logits.argmax(1)
    confidence, hit = probability.max(1), probability.argmax(1) == target
    at_label = probability[np.arange(len(target)), target]
    iou = [brute.iou(prediction.numpy(), label.numpy(), cls) for cls in range(CLASSES)]
    assert result.miou == pytest.approx(np.nanmean(iou))
    assert result.nll == pytest.approx(-np.log(at_label).mean(), rel=1e-6)
    one_hot = np.eye(CLASSES)[target]
    assert result.brier == pytest.approx(((probability - one_hot) ** 2).sum(1).mean(), rel=1e-6)
    fifteen = np.linspace(0, 1, 16)
    assert result.ece_10 == pytest.approx(brute.ece(confidence, hit, np.linspace(0, 1, 11)), rel=1e-5)
    assert result.ece_15 == pytest.approx(brute.ece(confidence, hit, fifteen), rel=1e-5)
    assert result.ece_equal_mass == pytest.approx(brute.equal_mass_ece(confidence, hit, 15), abs=2e-3)
    near = near_border(label, valid, distance=3, image_edge=False)[valid].numpy()
    assert result.ece_border == pytest.approx(brute.ece(confidence[near], hit[near], fifteen), rel=1e-5)
    class_wise = [brute.ece(probability[:, c], target == c, fifteen) for c in range(CLASSES)]
    assert result.ece_classwise == pytest.approx(np.mean(class_wise), rel=1e-5)
    assert result.aurc[MAX_PROB] == pytest.approx(brute.aurc(1 - confidence, ~hit), abs=1e-3)
    entropy = scores["entropy"][valid].double().numpy()
    assert result.error_auroc["entropy"] == pytest.approx(brute.auroc(entropy, ~hit), abs=1e-3)
    assert result.pixels == len(target)
    assert result.images == 6


def test_calibration_by_frequency_groups_predictions() -> None:
    logits, label, scores = draw()
    metric = metrics()
    metric.update(logits, label, scores)
    valid = label != 255
    confidence, predicted = logits.softmax(1).max(1)
    common = int(torch.bincount(label[valid]).argmax())
    chosen = valid & (predicted == common)
    expected = brute.ece(confidence[chosen].double().numpy(), (label == common)[chosen].numpy(), np.linspace(0, 1, 16))
    assert metric.compute().ece_by_frequency["common"] == pytest.approx(expected, rel=1e-5)


def test_the_result_does_not_depend_on_the_batches() -> None:
    logits, label, scores = draw()
    whole, split, left, right = metrics(), metrics(), metrics(), metrics()
    whole.update(logits, label, scores)
    for index in range(6):
        part = slice(index, index + 1)
        for metric in (split, left if index < 2 else right):
            metric.update(logits[part], label[part], {"entropy": scores["entropy"][part]})
    left.merge(right)
    for metric in (split, left):
        require_close(metric.compute(), whole.compute())


def test_log_probabilities_score_as_logits() -> None:
    logits, label, scores = draw()
    plain, log = metrics(), metrics()
    plain.update(logits.double(), label, scores)
    log.update(logits.double().log_softmax(1), label, scores)
    require_close(log.compute(), plain.compute())


def test_ignored_pixels_change_nothing() -> None:
    logits, label, scores = draw()
    clean, dirty = metrics(), metrics()
    clean.update(logits, label, scores)
    ignored = label == 255
    dirty.update(
        torch.where(ignored.unsqueeze(1), 7 * torch.randn_like(logits), logits),
        label,
        {"entropy": scores["entropy"].masked_fill(ignored, float("nan"))},
    )
    assert dirty.compute() == clean.compute()


def test_an_absent_class_is_a_dash_and_counts_as_zero_only_on_request() -> None:
    logits, label, scores = draw()
    results = {}
    for absent in ("dash", "zero"):
        metric = metrics(absent=absent)
        metric.update(logits, label, scores)
        results[absent] = metric.compute()
    boat = results["dash"].per_class[4]
    assert (boat.name, boat.iou, boat.f1, boat.accuracy, boat.pixels, boat.boundary_iou) == (
        "boat", None, None, None, 0, None,
    )  # fmt: skip
    assert results["zero"].miou == pytest.approx(results["dash"].miou * 4 / 5)
    assert results["zero"].per_class == results["dash"].per_class


def test_nothing_but_ignored_pixels_is_none_everywhere() -> None:
    metric = metrics()
    metric.update(torch.randn(2, CLASSES, 6, 7), torch.full((2, 6, 7), 255), {"entropy": torch.rand(2, 6, 7)})
    content = metric.compute().to_dict()
    assert content.pop("pixels") == 0
    assert content.pop("images") == 2
    assert {record.pop("name") for record in content["per_class"]} == set(NAMES)
    for bar in content["reliability"]:
        bar.pop("low"), bar.pop("high")
    assert set(leaves(content)) == {None, 0}
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_reliability_bars_add_up_to_the_error() -> None:
    logits, label, scores = draw()
    metric = metrics()
    metric.update(logits, label, scores)
    result = metric.compute()
    gaps = [bar.pixels * abs(bar.accuracy - bar.confidence) for bar in result.reliability if bar.pixels]
    assert sum(gaps) / result.pixels == pytest.approx(result.ece_15)
    assert all(bar.low <= bar.confidence <= bar.high for bar in result.reliability if bar.pixels)


def test_half_types_are_promoted_and_boundaries_can_be_left_out() -> None:
    logits, label, scores = draw()
    metric = metrics(boundary=False)
    metric.update(logits.bfloat16(), label, scores)
    result = metric.compute()
    assert result.boundary_iou is None
    assert metric.confusion.dtype == torch.int64
    assert result.nll == pytest.approx(
        torch.nn.functional.cross_entropy(logits.bfloat16().float(), label, ignore_index=255).item(), rel=1e-5
    )


def test_reset_forgets() -> None:
    logits, label, scores = draw()
    metric = metrics()
    metric.update(logits, label, scores)
    expected = metric.compute()
    metric.reset()
    assert metric.confusion.sum() == 0
    metric.update(logits, label, scores)
    assert metric.compute() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(2, 4, 3, 3)}, "5 classes, got 4"),
        ({"label": torch.full((2, 3, 3), 9)}, "labels in 0..4, got 9"),
        ({"logits": torch.full((2, 5, 3, 3), float("nan"))}, "diverged"),
        ({"scores": {}}, "expected the scores"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], message: str) -> None:
    right = {
        "logits": torch.zeros(2, 5, 3, 3),
        "label": torch.zeros(2, 3, 3, dtype=torch.int64),
        "scores": {"entropy": torch.zeros(2, 3, 3)},
    }
    with pytest.raises(ValueError, match=message):
        metrics().update(**{**right, **change})


def test_a_label_on_another_grid_is_refused() -> None:
    # Without the shape checks of the test session, which would catch it before the method does.
    unchecked = inspect.unwrap(SegmentationMetrics.update)
    with pytest.raises(ValueError, match="resize the logits"):
        unchecked(SegmentationMetrics(2), torch.zeros(1, 2, 3, 3), torch.zeros(1, 6, 6, dtype=torch.int64))


@pytest.mark.parametrize(
    "options",
    [
        {"class_names": ("one",)},
        {"score_names": (MAX_PROB,)},
        {"score_names": ("a",), "score_limits": {"b": (0.0, 1.0)}},
        {"score_names": ("a",), "score_limits": {"a": (1.0, 1.0)}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SegmentationMetrics(2, **options)


def test_merging_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a metric of the classes"):
        metrics().merge(SegmentationMetrics(2))
