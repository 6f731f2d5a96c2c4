"""Export a student: the file, a model card `NAME.md`, and `NAME.export.json` with what was measured."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foglight.atomic import write_atomically, write_json
from foglight.calibration import required_calibration
from foglight.config.build import build_part
from foglight.config.schema import DataConfig
from foglight.engine.calibrate import Temperature
from foglight.engine.progress import Progress, Silent
from foglight.errors import ConfigurationError
from foglight.export.measure import Parity
from foglight.export.model_card import model_card
from foglight.exporting.records import SUFFIX, ExportReport, ExportSettings, Kind
from foglight.exporting.recovery import recover, recovery_config
from foglight.exporting.subject import Subject, deployed
from foglight.models.student_file import load_student, read_metadata
from foglight.provenance import provenance


def export_student(
    student: Path,
    kind: Kind,
    output: Path,
    *,
    data: DataConfig,
    settings: ExportSettings | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the student of a run folder, or of a student file, as `output`.

    Args:
        student: a run folder, or a `student.safetensors`.
        kind: of file.
        output: the file.
        data: whose report part is measured, and whose training part activations are fitted to.
        settings: what is baked in.
        progress: is told what happens.

    Raises:
        ConfigurationError: for settings that do not fit the student.
        CheckpointError: if there is no whole student.
    """
    settings, progress = settings or ExportSettings(), progress or Silent()
    _require_fitting(kind, output, settings)
    description = read_metadata(student)
    network = load_student(student)
    part = build_part(data, "report")
    if network.num_classes != part.info.num_classes:
        raise ConfigurationError(
            f"{student} predicts {network.num_classes} classes, {part.info.name} has {part.info.num_classes}",
            remedy="measure it on data with its own classes, by `--data` and `--root`",
        )
    temperature = _temperature(student) if settings.temperature else 1.0
    size = settings.size or part[0].size
    subject = Subject(student, description, deployed(network, settings, temperature), size, settings, data)
    before: Parity | None = None
    if settings.recover:
        config = recovery_config(student, settings, data)
        with TemporaryDirectory() as folder:
            written = subject.write(kind, Path(folder) / output.name, Path(folder), progress)
            _, before, *_ = subject.measure(written, part)
        student = output.parent / "recovered"
        recovered = deployed(recover(config, network, student, progress), settings, temperature)
        subject = replace(subject, path=student, description=read_metadata(student), deployed=recovered)
    output.parent.mkdir(parents=True, exist_ok=True)
    # Measured before it takes its place: a file that cannot be measured leaves nothing behind.
    with TemporaryDirectory() as scratch, TemporaryDirectory(dir=output.parent, prefix=".export-") as folder:
        written = subject.write(kind, Path(folder) / output.name, Path(scratch), progress)
        parities = subject.measure(written, part)
        for file in sorted(Path(folder).iterdir()):
            file.replace(output.parent / file.name)
    measured_on = f"{parities[0].images} images of the report part of {part.info.name}"
    report = ExportReport(output, kind, written.dynamic, size, settings.baked, parities, before, measured_on)
    card = model_card(
        name=output.name,
        description=subject.description,
        scores=_scores(student),
        parities=parities,
        measured_on=measured_on,
        baked=settings.baked,
    )
    write_atomically(output.with_name(f"{output.name}.md"), lambda file: file.write(card.encode()))
    write_json(output.with_name(f"{output.name}.export.json"), {**report.to_dict(), **provenance()})
    return report


def _require_fitting(kind: Kind, output: Path, settings: ExportSettings) -> None:
    if settings.recover and kind != "int8":
        raise ConfigurationError(f"--recover belongs to int8, got --to {kind}", remedy="leave --recover out")
    if not output.suffix or not SUFFIX[kind].endswith(output.suffix):
        raise ConfigurationError(
            f"{output}: --to {kind} writes a file that ends in {SUFFIX[kind]}", remedy="name it so, or leave -o out"
        )


def _temperature(student: Path) -> float:
    stored = required_calibration(student)
    if not isinstance(stored, Temperature) or len(stored.values) != 1:
        raise ConfigurationError(
            f"{student}: its calibration is {stored.method}, which is more than one number",
            remedy=f"fit one temperature: `foglight calibrate {student} --method temperature`",
        )
    return stored.value


def _scores(student: Path) -> Mapping[str, Any] | None:
    path = (student if student.is_dir() else student.parent) / "result.json"
    if not path.exists():
        return None
    scores: Mapping[str, Any] = json.loads(path.read_text())["student"]
    return scores
