"""Do NLL, Brier score, ECE and AURC agree with TorchUncertainty, where it is installed?"""

import pytest
import torch
from torch import Tensor

from foglight.metrics.segmentation import MAX_PROB, SegmentationMetrics, SegmentationScores

reference = pytest.importorskip("torch_uncertainty.metrics.classification", exc_type=ImportError)


@pytest.fixture(scope="module")
def case() -> tuple[Tensor, Tensor, SegmentationScores]:
    """Probabilities and labels of 4000 pixels, and our scores of them."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4, 5, 20, 50, generator=generator)
    label = torch.distributions.Categorical(logits=0.5 * logits.movedim(1, -1)).sample()
    metric = SegmentationMetrics(5)
    metric.update(logits, label)
    return logits.softmax(1).movedim(1, -1).flatten(0, 2), label.flatten(), metric.compute()


def test_negative_log_likelihood(case: tuple[Tensor, Tensor, SegmentationScores]) -> None:
    probability, label, scores = case
    assert scores.nll == pytest.approx(reference.CategoricalNLL()(probability, label).item(), rel=1e-5)


def test_brier_score(case: tuple[Tensor, Tensor, SegmentationScores]) -> None:
    probability, label, scores = case
    assert scores.brier == pytest.approx(reference.BrierScore(num_classes=5)(probability, label).item(), rel=1e-5)


@pytest.mark.parametrize(("bins", "name"), [(10, "ece_10"), (15, "ece_15")])
def test_calibration_error(case: tuple[Tensor, Tensor, SegmentationScores], bins: int, name: str) -> None:
    probability, label, scores = case
    ours, theirs = scores.to_dict()[name], reference.CalibrationError(task="multiclass", num_classes=5, num_bins=bins)
    assert ours == pytest.approx(theirs(probability, label).item(), abs=1e-5)


def test_area_under_risk_coverage(case: tuple[Tensor, Tensor, SegmentationScores]) -> None:
    probability, label, scores = case
    # Theirs is the trapezoid from coverage 1/N on: it differs by the order of 1/N.
    assert scores.aurc[MAX_PROB] == pytest.approx(reference.AURC()(probability, label).item(), abs=2e-3)
