"""Score a network on one part of a data set, or fit a calibration there: what `evaluate` and `calibrate` do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

from foglight.calibration import fit_calibration, read_calibration, write_calibration
from foglight.config.build import build_model, build_part, whole_images
from foglight.config.schema import DataConfig, ModelConfig
from foglight.data.dataset import SegmentationDataset
from foglight.data.groups import Part
from foglight.engine.calibrate import TEMPERATURE, Calibration, divided
from foglight.engine.cost import parameter_count
from foglight.engine.evaluate import EvaluateSettings, evaluate_each
from foglight.errors import ConfigurationError
from foglight.models.class_map import read_class_map, with_class_map
from foglight.models.extra_input import require_known_kinds
from foglight.models.network import Network
from foglight.models.student_file import is_student, read_metadata, student_paths


@final
@dataclass(frozen=True)
class EvaluationReport:
    """The scores of one network on one part of a data set.

    Attributes:
        model: as it was named.
        part: train, tune or report.
        frames: how many were scored.
        parameters: of the network.
        scores: raw, as `SegmentationScores.to_dict()` gives them.
        notes: warnings of the data set about this split.
        calibration: in a few words, the stored one or the temperature given by hand; None without one.
        scaled: scores under that calibration.
    """

    model: str
    part: str
    frames: int
    parameters: int
    scores: Mapping[str, Any]
    notes: tuple[str, ...]
    calibration: str | None = None
    scaled: Mapping[str, Any] | None = None

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {**vars(self), "notes": list(self.notes)}


@final
@dataclass(frozen=True)
class CalibrationReport:
    """What was fitted and where it stands now.

    Attributes:
        path: of `student.json`.
        calibration: its entry there.
        words: the calibration in a few words.
        notes: warnings of the data set about this split.
    """

    path: Path
    calibration: Mapping[str, Any]
    words: str
    notes: tuple[str, ...]

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {**vars(self), "path": str(self.path), "notes": list(self.notes)}


def evaluate(
    model: str | Network,
    *,
    data: str | DataConfig,
    part: Part = "report",
    settings: EvaluateSettings | None = None,
    temperature: float | None = None,
    class_map: str | None = None,
    device: str = "cpu",
    trust: bool = False,
) -> EvaluationReport:
    """Score a run folder, a student file, a registry name or a network on one part of a data set.

    Args:
        model: what is scored.
        data: a data set's name, a folder, or a full configuration.
        part: of the data set.
        settings: how an image is predicted.
        temperature: also score under this one; None takes what `calibrate` stored in the student file, if anything.
        class_map: from the network's classes to the data's, a file or `by-name`; what is stored was fitted without it
            and is not applied.
        device: where the network runs.
        trust: load pickled checkpoints.

    Raises:
        ConfigurationError: if the network's classes or extra channels are not the data's.
    """
    config, settings = as_data_config(data), settings or EvaluateSettings()
    dataset = build_part(config, part)
    name = model if isinstance(model, str) else model.name
    network = (
        model if isinstance(model, Network) else build_model(ModelConfig(name=model), num_classes=None, trust=trust)
    )
    coverage: tuple[str, ...] = ()
    if class_map is not None:
        known = read_class_map(class_map, network, dataset.info.class_names)
        network, coverage = with_class_map(network, known), (known.coverage(),)
    _require_fitting(network, name, dataset)
    own_classes = class_map is None
    stored = read_calibration(model) if isinstance(model, str) and is_student(Path(model)) and own_classes else None
    words = None if stored is None else stored.words
    each = [settings, *([] if stored is None else [replace(settings, calibrator=stored, temperature=1.0)])]
    if temperature is not None:
        words = f"T = {temperature:g}"
        each = [settings, replace(settings, calibrator=partial(divided, values=(temperature,)), temperature=1.0)]
    network.to(device)
    batches = (batch.to(device) for batch in whole_images(dataset, config))
    raw, *scaled = evaluate_each(network, batches, class_names=dataset.info.class_names, settings=each)
    return EvaluationReport(
        name,
        part,
        len(dataset),
        parameter_count(network),
        raw.to_dict(),
        (*dataset.info.notes, *coverage, *_seen_before(model, stored if temperature is None else None, config, part)),
        words,
        scaled[0].to_dict() if scaled else None,
    )


def calibrate(
    model: str | Path,
    *,
    data: str | DataConfig,
    part: Part = "tune",
    method: str = TEMPERATURE,
    device: str = "cpu",
    trust: bool = False,
) -> CalibrationReport:
    """Fit a calibration on one part of a data set and store it in the student file; the weights are not touched.

    Args:
        model: a run folder or a student file.
        data: a data set's name, a folder, or a full configuration.
        part: never the one that is reported.
        method: `temperature`, `class-conditional`, or one of the package fiducio's.
        device: where the network runs.
        trust: load pickled checkpoints.

    Raises:
        CheckpointError: if the model is no student file.
        ConfigurationError: if the network's classes or extra channels are not the data's, for an unknown method, or a
            missing package.
        UserError: if there is nothing to fit on, or the fit is refused.
    """
    config, path = as_data_config(data), Path(model)
    read_metadata(path)
    network = build_model(ModelConfig(name=str(model)), num_classes=None, trust=trust).to(device)
    dataset = build_part(config, part)
    _require_fitting(network, str(model), dataset)
    fitted = fit_calibration(network, whole_images(dataset, config), method=method)
    entry = write_calibration(path, fitted, fitted_on={"data": config.name, "part": part})
    return CalibrationReport(student_paths(path)[1], entry, fitted.words, dataset.info.notes)


def _require_fitting(network: Network, name: str, dataset: SegmentationDataset) -> None:
    if network.num_classes != dataset.info.num_classes:
        raise ConfigurationError(
            f"{name} predicts {network.num_classes} classes, {dataset.info.name} has {dataset.info.num_classes}",
            remedy="give `--class-map FILE` or `by-name`, or data with the network's own classes (`--data`, `--root`)",
        )
    require_known_kinds(network.extra_kinds, dataset.info.extra_kinds, name=name)


def _seen_before(model: str | Network, stored: Calibration | None, config: DataConfig, part: Part) -> tuple[str, ...]:
    """A calibration looks better than it is on the frames that it was fitted on."""
    if stored is None or not isinstance(model, str):
        return ()
    fitted_on = read_metadata(model)["calibration"].get("fitted_on")
    if fitted_on != {"data": config.name, "part": part}:
        return ()
    return (f"the calibration was fitted on these very frames ({config.name}, part {part})",)


def as_data_config(data: str | DataConfig) -> DataConfig:
    """A data set by name, or its full configuration."""
    return DataConfig(name=data) if isinstance(data, str) else data
