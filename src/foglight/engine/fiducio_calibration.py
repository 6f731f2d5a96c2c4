"""Richer calibrators than temperatures, by the package fiducio (extra `calibrate`), behind one thin adapter.

`vector-scaling` softmax(w * log p + b), `matrix-scaling` softmax(W log p + b), and one such matrix per predicted class:
free, so that the argmax may change, or built such that it cannot. Fitted by L-BFGS on a seeded sample of at most
SAMPLED_PIXELS labelled pixels, because fiducio keeps them and their gradients in memory; the NLL before and after is
that of all labelled pixels.

Source: github.com/fiducio-ai/Fiducio 0.2.0 (Apache-2.0). Cost: up to a few hundred passes over the sample.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.engine.calibrate import Calibration, require_lower_nll
from foglight.engine.evaluate import AnyNetwork
from foglight.engine.labelled_pixels import KEPT_BYTES, LabelledPixels, deterministic
from foglight.errors import CheckpointError, ConfigurationError, UserError
from foglight.types import Batch, derive_seed

# By our name: fiducio's class.
FIDUCIO_METHODS: Final = {
    "vector-scaling": "VectorScaling",
    "matrix-scaling": "TranslationInvariantMatrixScaling",
    "class-conditional-matrix": "ClassConditionalMatrixScaling",
    "argmax-preserving-matrix": "ArgmaxPreservingMatrixScaling",
    "order-preserving-matrix": "OrderPreservingMatrixScaling",
}
SAMPLED_PIXELS: Final = 200_000


@final
@dataclass(frozen=True)
class FiducioCalibration(Calibration):
    """A calibrator of fiducio's.

    Attributes:
        calibrator: fitted.
    """

    calibrator: Any

    def __call__(self, log_probability: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b k *grid"]:
        """Calibrated logits, where the log-probabilities are."""
        return self.calibrator.decision_function(log_probability).to(log_probability.device)

    @property
    def words(self) -> str:
        """The method."""
        return self.method

    def to_bytes(self) -> bytes:
        """The calibrator as fiducio stores it."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "calibrator.pt"
            self.calibrator.save(path)
            return path.read_bytes()


def fit_fiducio(
    network: AnyNetwork,
    batches: Iterable[Batch],
    *,
    method: str,
    sampled_pixels: int = SAMPLED_PIXELS,
    kept_bytes: int = KEPT_BYTES,
) -> FiducioCalibration:
    """Fit one of FIDUCIO_METHODS on labelled batches.

    Args:
        network: whose log-probabilities are calibrated.
        batches: labelled; must be iterable again and again.
        method: one of FIDUCIO_METHODS.
        sampled_pixels: how many labelled pixels it is fitted on at most.
        kept_bytes: largest size of log-probabilities that stays in memory.

    Raises:
        ConfigurationError: if fiducio is not installed.
        UserError: without a labelled pixel, or where the fit fails or raises the NLL.
    """
    calibrator = getattr(_fiducio(), FIDUCIO_METHODS[method])(optimizer="lbfgs", device="cpu")
    with deterministic(network):
        pixels = LabelledPixels(network, batches, kept_bytes=kept_bytes)
        nll_before = _mean_nll(pixels, None)
        pixels.require_any()
        log_probability, label = _sample(pixels, sampled_pixels)
        try:
            with torch.enable_grad():
                calibrator.fit(log_probability, label)
        except ValueError as error:
            raise UserError(
                f"{network.name}: {method} could not be fitted ({error})", remedy="take `--method temperature`"
            ) from error
        nll_after = _mean_nll(pixels, calibrator)
    require_lower_nll(network.name, nll_before, nll_after)
    return FiducioCalibration(method, pixels.frames, pixels.pixels, nll_before, nll_after, calibrator)


def load_fiducio(content: bytes, source: Path) -> Any:
    """The calibrator that `FiducioCalibration.to_bytes` gave.

    Raises:
        ConfigurationError: if fiducio is not installed.
        CheckpointError: if it is none.
    """
    fiducio = _fiducio()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calibrator.pt"
        path.write_bytes(content)
        try:
            return fiducio.load_calibrator(path)
        except ValueError as error:
            raise CheckpointError(
                f"{source}: no calibrator of fiducio's", remedy="run `foglight calibrate` again"
            ) from error


def _fiducio() -> Any:
    try:
        return import_module("fiducio")
    except ImportError as error:
        raise ConfigurationError(
            "this calibration needs the package fiducio, which is not installed",
            remedy="pip install 'foglight[calibrate]', or take `--method temperature`",
        ) from error


def _sample(pixels: LabelledPixels, limit: int) -> tuple[Tensor, Tensor]:
    """The same share of every batch's pixels, drawn by a seed."""
    share = min(limit / pixels.pixels, 1.0)
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    for index, found in enumerate(pixels):
        generator = torch.Generator().manual_seed(derive_seed(0, "calibration pixels", index))
        chosen = torch.randperm(len(found.label), generator=generator)[: math.floor(share * len(found.label))]
        chosen = chosen.sort().values.to(found.label.device)
        rows.append(found.log_probability[chosen].cpu())
        labels.append(found.label[chosen].cpu())
    return torch.cat(rows), torch.cat(labels)


def _mean_nll(pixels: LabelledPixels, calibrator: Any) -> float:
    total = 0.0
    for found in pixels:
        scores = found.log_probability
        if calibrator is not None:
            scores = calibrator.decision_function(scores).to(scores.device).log_softmax(1)
        total -= float(scores.gather(1, found.label.unsqueeze(1)).sum(dtype=torch.float64))
    return total / max(pixels.pixels, 1)
