"""The calibration that stands in `student.json`: fitted on labelled frames, stored, read back.

What a temperature needs stands in the file itself, under `calibration`; a calibrator of fiducio's in
`student.calibrator.pt` beside it, whose sha256 the entry holds. The weights are not touched.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from foglight.atomic import write_atomically
from foglight.engine.calibrate import CLASS_CONDITIONAL, TEMPERATURE, Calibration, Temperature, fit_temperature
from foglight.engine.evaluate import AnyNetwork
from foglight.engine.fiducio_calibration import FIDUCIO_METHODS, FiducioCalibration, fit_fiducio, load_fiducio
from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.student_file import read_metadata, student_paths, update_metadata
from foglight.provenance import provenance
from foglight.spelling import known_words
from foglight.types import Batch

METHODS: Final = (TEMPERATURE, CLASS_CONDITIONAL, *FIDUCIO_METHODS)
_FACTS: Final = ("method", "frames", "pixels", "nll_before", "nll_after")


def fit_calibration(network: AnyNetwork, batches: Iterable[Batch], *, method: str) -> Calibration:
    """Fit one of METHODS on labelled batches, which must be iterable again and again.

    Raises:
        ConfigurationError: for an unknown method, or one whose package is not installed.
        UserError: if there is nothing to fit on, or the fit is refused.
    """
    if method in FIDUCIO_METHODS:
        return fit_fiducio(network, batches, method=method)
    if method not in METHODS:
        raise ConfigurationError(
            f"expected a method of calibration, got {method!r}", remedy=known_words(method, METHODS)
        )
    by_class = method == CLASS_CONDITIONAL
    return fit_temperature(network, batches, num_classes=network.num_classes, by_class=by_class)


def write_calibration(path: Path, calibration: Calibration, *, fitted_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """Store a calibration in the student file at `path`; returns the entry as it stands there.

    Args:
        path: run folder, `.safetensors` or `.json` file.
        calibration: replaces the one that was there.
        fitted_on: the data set and its part.
    """
    entry: dict[str, Any] = {name: getattr(calibration, name) for name in _FACTS}
    calibrator = student_paths(path)[0].with_suffix(".calibrator.pt")
    match calibration:
        case Temperature():
            entry["temperature"] = calibration.value if calibration.method == TEMPERATURE else list(calibration.values)
        case FiducioCalibration():
            content = calibration.to_bytes()
            write_atomically(calibrator, lambda file: file.write(content))
            entry |= {"temperature": None, "file": calibrator.name, "sha256": hashlib.sha256(content).hexdigest()}
        case _:
            raise ValueError(f"expected a calibration that can be stored, got {type(calibration).__name__}")
    entry |= {"fitted_on": dict(fitted_on), "provenance": provenance()}
    update_metadata(path, {"calibration": entry})
    if isinstance(calibration, Temperature):
        calibrator.unlink(missing_ok=True)
    return entry


def read_calibration(path: str | Path) -> Calibration | None:
    """The calibration of a student file; None where it was never calibrated.

    Raises:
        CheckpointError: if the student file or its calibration is damaged.
        ConfigurationError: if it needs a package that is not installed.
    """
    described = student_paths(Path(path))[1]
    metadata = read_metadata(path)
    entry = metadata.get("calibration")
    if entry is None:
        return None
    try:
        facts = (str(entry["method"]), int(entry["frames"]), int(entry["pixels"]))
        likelihoods = (float(entry["nll_before"]), float(entry["nll_after"]))
        if entry["method"] in FIDUCIO_METHODS:
            calibrator = described.with_suffix(".calibrator.pt")
            return FiducioCalibration(*facts, *likelihoods, load_fiducio(_content(calibrator, entry), calibrator))
        given = entry["temperature"]
        values = tuple(float(value) for value in (given if isinstance(given, list) else [given]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(described, f"{type(error).__name__} {error}") from error
    if len(values) not in (1, metadata["num_classes"]) or not all(0 < value < float("inf") for value in values):
        raise _damaged(described, f"temperature {given}")
    return Temperature(*facts, *likelihoods, values)


def required_calibration(path: str | Path) -> Calibration:
    """The calibration of a student file.

    Raises:
        ConfigurationError: where it was never calibrated.
    """
    stored = read_calibration(path)
    if stored is None:
        raise ConfigurationError(
            f"{student_paths(Path(path))[1]}: holds no calibration", remedy=f"run `foglight calibrate {path}`"
        )
    return stored


def _content(path: Path, entry: Mapping[str, Any]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}", remedy="run `foglight calibrate` again") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise CheckpointError(
            f"{path} is not the file that student.json describes (another sha256)",
            remedy="run `foglight calibrate` again",
        )
    return content


def _damaged(described: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{described}: its calibration cannot be read ({what})", remedy="run `foglight calibrate` again"
    )
