"""Does a fitted calibration lower the NLL it was fitted on, leave predictions alone, and say so where it cannot?"""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foglight.engine.calibrate import CLASS_CONDITIONAL, Temperature, divided, fit_temperature, raw_and_scaled
from foglight.engine.evaluate import EvaluateSettings, evaluate, predict
from foglight.engine.fiducio_calibration import FIDUCIO_METHODS, fit_fiducio, load_fiducio
from foglight.errors import UserError
from foglight.models.adapters.own_module import as_network
from foglight.models.network import Network
from foglight.types import Batch

CLASSES = 4
NAMES = list("abcd")


class Confident(nn.Module):
    """A network without context whose logits are `factor` times those that its labels are drawn from."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.classifier = nn.Conv2d(3, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.factor * self.classifier(image)


def network(factor: float) -> Network:
    torch.manual_seed(0)
    module = Confident(factor)
    with torch.no_grad():
        module.classifier.weight.normal_(std=3)
    return as_network(module)


def batches(seed: int, *, frames: int = 3) -> list[Batch]:
    """Frames whose labels are drawn from the softmax of `network(1)`; a tenth of the pixels is ignored."""
    truth, generator = network(1).eval(), torch.Generator().manual_seed(seed)
    drawn: list[Batch] = []
    for _ in range(frames):
        image = torch.rand(1, 3, 48, 64, generator=generator)
        with torch.no_grad():
            probability = truth(image).logits.softmax(1)
        label = torch.multinomial(probability[0].flatten(1).T, 1, generator=generator).view(1, 48, 64)
        drawn.append(Batch(image, label=label.masked_fill(torch.rand(1, 48, 64, generator=generator) < 0.1, 255)))
    return drawn


def test_the_factor_of_an_overconfident_network_is_found_and_its_mode_put_back() -> None:
    student = network(4).train()
    fitted = fit_temperature(student, batches(1), num_classes=CLASSES)
    assert fitted.value == pytest.approx(4, rel=0.1)
    assert student.training
    labelled = sum(int(batch.valid.sum()) for batch in batches(1))
    assert (fitted.frames, fitted.pixels) == (3, labelled)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_nll_falls_to_what_scoring_says_and_every_prediction_stays(factor: float, by_class: bool) -> None:
    student = network(factor).eval()
    fitted = fit_temperature(student, batches(1), num_classes=CLASSES, by_class=by_class)
    assert fitted.nll_after <= fitted.nll_before
    raw = evaluate(student, batches(1), class_names=NAMES)
    scaled = evaluate(student, batches(1), class_names=NAMES, settings=EvaluateSettings(calibrator=fitted))
    assert raw.nll == pytest.approx(fitted.nll_before, rel=1e-5)
    assert scaled.nll == pytest.approx(fitted.nll_after, rel=1e-5)
    assert (raw.miou, raw.boundary_iou) == (scaled.miou, scaled.boundary_iou)


def test_one_per_class_is_at_least_as_good_as_one_for_all() -> None:
    student = network(4)
    one = fit_temperature(student, batches(1), num_classes=CLASSES)
    each = fit_temperature(student, batches(1), num_classes=CLASSES, by_class=True)
    assert each.method == CLASS_CONDITIONAL
    assert len(each.values) == CLASSES
    assert each.nll_after <= one.nll_after
    with pytest.raises(ValueError, match="one for each of 4"):
        _ = each.value


def test_what_does_not_fit_into_memory_is_seen_again_and_gives_the_same() -> None:
    kept = fit_temperature(network(4), batches(1), num_classes=CLASSES)
    assert fit_temperature(network(4), batches(1), num_classes=CLASSES, kept_bytes=0) == kept


def test_a_temperature_is_what_the_setting_of_that_name_does() -> None:
    student, image = network(4).eval(), batches(1)[0].image
    with torch.no_grad():
        by_setting = predict(student, image, settings=EvaluateSettings(temperature=2.5))
        by_calibrator = predict(student, image, settings=EvaluateSettings(calibrator=lambda z: divided(z, (2.5,))))
    torch.testing.assert_close(by_setting, by_calibrator)
    with pytest.raises(ValueError, match="got both"):
        EvaluateSettings(calibrator=Temperature("temperature", 1, 1, 0.0, 0.0, (2.0,)), temperature=2.0)


def test_raw_and_scaled_fits_on_one_part_and_scores_the_other() -> None:
    student, tune, report = network(4), batches(1), batches(2)
    both = raw_and_scaled(student, tune, iter(report), class_names=NAMES)
    fitted = fit_temperature(student, tune, num_classes=CLASSES)
    assert both.temperature == fitted
    assert both.raw == evaluate(student, report, class_names=NAMES)
    assert both.scaled is not None
    assert both.raw.nll is not None
    assert both.scaled.nll is not None
    assert both.scaled.nll < both.raw.nll
    expected = evaluate(student, report, class_names=NAMES, settings=EvaluateSettings(temperature=fitted.value))
    assert both.scaled.nll == pytest.approx(expected.nll)
    assert both.scaled.ece_15 == pytest.approx(expected.ece_15, rel=1e-4)


def test_a_refused_fit_is_reported_beside_the_raw_scores() -> None:
    student, report = network(4).eval(), batches(2)
    with torch.no_grad():
        never_wrong = [Batch(batch.image, label=student(batch.image).logits.argmax(1)) for batch in report]
    both = raw_and_scaled(student, never_wrong, report, class_names=NAMES)
    assert (both.temperature, both.scaled) == (None, None)
    assert both.refused is not None
    assert "no temperature from 0.05 to 20" in both.refused
    assert both.raw == evaluate(student, report, class_names=NAMES)


def test_nothing_to_fit_on_is_refused() -> None:
    student = network(4)
    ignored = [Batch(batch.image, label=torch.full((1, 48, 64), 255)) for batch in batches(1)]
    with pytest.raises(UserError, match="none of the 3 frames has a labelled pixel"):
        fit_temperature(student, ignored, num_classes=CLASSES)
    with pytest.raises(ValueError, match="expected labelled batches"):
        fit_temperature(student, [Batch(batches(1)[0].image)], num_classes=CLASSES)
    with pytest.raises(ValueError, match="got a generator"):
        fit_temperature(student, iter(batches(1)), num_classes=CLASSES)


@pytest.mark.parametrize("method", FIDUCIO_METHODS)
def test_fiducio_lowers_the_nll_of_frames_it_was_not_fitted_on_and_comes_back_from_bytes(method: str) -> None:
    student = network(4).eval()
    fitted = fit_fiducio(student, batches(1), method=method, sampled_pixels=4000)
    assert fitted.nll_after < fitted.nll_before
    settings = EvaluateSettings(calibrator=fitted)
    raw, scaled = (evaluate(student, batches(2), class_names=NAMES, settings=one).nll for one in (None, settings))
    assert raw is not None
    assert scaled is not None
    assert scaled < raw - 0.1
    again, values = load_fiducio(fitted.to_bytes(), Path("a.pt")), torch.rand(1, CLASSES, 5, 5).log_softmax(1)
    assert torch.equal(again.decision_function(values), fitted(values))


def test_the_best_calibration_reaches_the_entropy_of_the_truth() -> None:
    """Labels are drawn from the softmax itself: no calibration can beat its entropy, and one temperature reaches it."""
    student = network(4)
    fitted = fit_temperature(student, batches(1, frames=6), num_classes=CLASSES)
    with torch.no_grad():
        log_probability = torch.cat([network(1)(batch.image).logits for batch in batches(1, frames=6)]).log_softmax(1)
    entropy = float(-(log_probability.exp() * log_probability).sum(1).mean())
    assert math.isclose(fitted.nll_after, entropy, rel_tol=0.03)
