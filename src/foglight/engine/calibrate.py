"""Temperatures fitted on labelled images, and what a network scores with and without one.

    q = softmax(z / T),    T = argmin over the labelled pixels of the mean -log q_label

T is one number, or one per predicted class (argmax z), which leaves every prediction what it is, too. Fitted on whole
images as the deterministic network sees them, over all labelled pixels; log-probabilities stay in memory where they fit
into KEPT_BYTES, else the network runs again for every pass of the search. The weights are not touched.

Source: Guo et al. 2017, section 4.2. Cost: one forward per frame (5 to 8 where they are not kept), and a few softmaxes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.engine.evaluate import AnyNetwork, EvaluateSettings, evaluate_each
from foglight.engine.labelled_pixels import KEPT_BYTES, LabelledPixels, deterministic, on_device
from foglight.errors import UserError
from foglight.metrics.segmentation import SegmentationScores
from foglight.metrics.temperature import HIGHEST, LOWEST, BestInverse, Likelihood, best_inverse, likelihood
from foglight.types import Batch

TEMPERATURE: Final = "temperature"
CLASS_CONDITIONAL: Final = "class-conditional"
# By class, a fit on fewer pixels than this says more about these pixels than about the network.
FEWEST_PIXELS: Final = 1000


@dataclass(frozen=True)
class Calibration(ABC):
    """A fitted map from log-probabilities to logits, and what it was fitted on.

    Attributes:
        method: its name.
        frames: labelled images.
        pixels: labelled pixels.
        nll_before: mean NLL over these pixels as the network says it, in nats.
        nll_after: with this calibration.
    """

    method: str
    frames: int
    pixels: int
    nll_before: float
    nll_after: float

    @abstractmethod
    def __call__(self, log_probability: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b k *grid"]:
        """Logits whose softmax is calibrated."""

    @property
    @abstractmethod
    def words(self) -> str:
        """In a few words, for the head of a column."""


@final
@dataclass(frozen=True)
class Temperature(Calibration):
    """One temperature, or one per predicted class.

    Attributes:
        values: T, above 0.
    """

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The one temperature.

        Raises:
            ValueError: if there is one per class.
        """
        if len(self.values) != 1:
            raise ValueError(f"expected one temperature, got one for each of {len(self.values)} classes")
        return self.values[0]

    def __call__(self, log_probability: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b k *grid"]:
        """Logits over their temperature."""
        return divided(log_probability, self.values)

    @property
    def words(self) -> str:
        """`T = 1.234`, or the range of them."""
        if len(self.values) == 1:
            return f"T = {self.value:.3f}"
        return f"T = {min(self.values):.3f} .. {max(self.values):.3f}"


@final
@dataclass(frozen=True)
class RawAndScaled:
    """What a network scores as it is, and under a temperature that was fitted elsewhere.

    Attributes:
        raw: scores on the report part.
        temperature: fitted on the tune part; None where the fit was refused.
        scaled: scores on the report part with it; None where the fit was refused.
        refused: why, in one line; None where there is a temperature.
    """

    raw: SegmentationScores
    temperature: Temperature | None
    scaled: SegmentationScores | None
    refused: str | None


def divided(logits: Float[Tensor, "b k *grid"], values: Sequence[float]) -> Float[Tensor, "b k *grid"]:
    """Logits over one temperature, or over that of the predicted class.

    >>> divided(torch.tensor([[4.0, 2.0], [2.0, 4.0]]), (1.0, 2.0))
    tensor([[4., 2.],
            [1., 2.]])
    """
    if len(values) == 1:
        return logits / values[0]
    return logits / logits.new_tensor(values)[logits.argmax(1, keepdim=True)]


def fit_temperature(
    network: AnyNetwork,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    by_class: bool = False,
    kept_bytes: int = KEPT_BYTES,
) -> Temperature:
    """The temperature with the smallest NLL on labelled batches; the network's mode is put back afterwards.

    The relative error of T is below 1e-5. By class, one that is predicted on fewer than FEWEST_PIXELS pixels, or whose
    own best temperature lies outside the limits, takes the one temperature of all.

    Args:
        network: whose logits are scaled; batches are moved to its device.
        batches: labelled; must be iterable again and again, as `whole_images(...)` is and a generator is not.
        num_classes: k.
        by_class: one temperature per predicted class.
        kept_bytes: largest size of log-probabilities that stays in memory.

    Raises:
        UserError: without a labelled pixel, or where the best temperature lies outside 0.05 .. 20.
        ValueError: for a generator, or batches without labels.
    """
    with deterministic(network):
        pixels = LabelledPixels(network, batches, kept_bytes=kept_bytes)
        whole = _search(pixels, groups=1)
        before = _total(pixels, torch.ones((1, 1), dtype=torch.float64), groups=1).nll
        _require_found(whole, pixels)
        inverse = whole.inverse
        if by_class:
            own = _search(pixels, groups=num_classes)
            inverse = torch.where(own.found & (pixels.predicted >= FEWEST_PIXELS), own.inverse, whole.inverse)
        after = _total(pixels, inverse.unsqueeze(0), groups=len(inverse)).nll
    nll_before, nll_after = (float(nll.sum()) / pixels.pixels for nll in (before, after))
    require_lower_nll(network.name, nll_before, nll_after)
    values = tuple((1 / inverse).tolist())
    method = CLASS_CONDITIONAL if by_class else TEMPERATURE
    return Temperature(method, pixels.frames, pixels.pixels, nll_before, nll_after, values)


def raw_and_scaled(
    network: AnyNetwork,
    tune_batches: Iterable[Batch],
    report_batches: Iterable[Batch],
    *,
    class_names: Sequence[str],
    boundary: bool = True,
) -> RawAndScaled:
    """Scores on the report part, raw and under one temperature that was fitted on the tune part alone.

    A fit that is refused is a result, not an error: `scaled` is then None and `refused` says why.

    Args:
        network: batches are moved to its device.
        tune_batches: what the temperature is fitted on; iterable again and again, as `whole_images(...)` is.
        report_batches: what is scored.
        class_names: by class index.
        boundary: whether to score boundaries.
    """
    temperature: Temperature | None = None
    refused: str | None = None
    try:
        temperature = fit_temperature(network, tune_batches, num_classes=len(class_names))
    except UserError as error:
        refused = error.problem
    settings = [EvaluateSettings(), *([] if temperature is None else [EvaluateSettings(calibrator=temperature)])]
    batches = on_device(network, report_batches)
    raw, *scaled = evaluate_each(network, batches, class_names=class_names, settings=settings, boundary=boundary)
    return RawAndScaled(raw, temperature, scaled[0] if scaled else None, refused)


def _search(pixels: LabelledPixels, *, groups: int) -> BestInverse:
    return best_inverse(lambda inverse: _total(pixels, inverse, groups=groups), groups=groups)


def _total(pixels: LabelledPixels, inverse: Tensor, *, groups: int) -> Likelihood:
    """One pass."""
    total = torch.zeros((3, *inverse.shape), dtype=torch.float64)
    for found in pixels:
        group = found.predicted if groups > 1 else torch.zeros_like(found.predicted)
        total += torch.stack(list(likelihood(found.log_probability, found.label, group, inverse)))
    return Likelihood(*total)


def require_lower_nll(name: str, before: float, after: float) -> None:
    """Refuse a calibration that makes worse what it was fitted on.

    Raises:
        UserError: if the NLL rises.
    """
    # Where the network is calibrated already, a rounding is what remains.
    if not after <= before + 1e-6:
        raise UserError(
            f"{name}: the fitted calibration raises the NLL from {before:.4f} to {after:.4f}",
            remedy="take `--method temperature`, or check whether the network has diverged",
        )


def _require_found(best: BestInverse, pixels: LabelledPixels) -> None:
    pixels.require_any()
    if not bool(best.found.all()):
        raise UserError(
            f"{pixels.network.name}: no temperature from {LOWEST} to {HIGHEST} is best on these {pixels.frames} "
            "frames: the NLL falls up to the end of the interval",
            remedy="train the network longer, or fit on frames that it has not seen (`--part tune`)",
        )
