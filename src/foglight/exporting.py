"""From a trained student to a file that runs elsewhere, measured against the student on real images before it counts.

Every export writes the file, a model card `NAME.md` and `NAME.export.json` with what was measured.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shutil import copyfile
from typing import Any, Final, Literal, final, get_args

import torch
from torch import Tensor

from foglight.atomic import write_atomically, write_json
from foglight.config.build import build_part, whole_images
from foglight.config.load import read_config
from foglight.config.schema import BudgetConfig, DataConfig, ModelConfig, RunConfig
from foglight.data.dataset import SegmentationDataset
from foglight.engine.progress import Progress, Silent
from foglight.errors import ConfigurationError
from foglight.export.deployed import Deployed
from foglight.export.fake_quantised import fake_quantised
from foglight.export.int8 import quantise
from foglight.export.measure import REFERENCE, Parity, measure_forms
from foglight.export.model_card import model_card
from foglight.export.onnx_file import Runner, export_onnx, onnx_runner
from foglight.export.torch_program import export_program, program_runner
from foglight.models.network import Network
from foglight.models.student_file import load_student, read_metadata, student_paths
from foglight.provenance import provenance
from foglight.run import run

Kind = Literal["onnx", "torch-export", "safetensors", "int8"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SUFFIX: Final[Mapping[Kind, str]] = {
    "onnx": ".onnx",
    "torch-export": ".pt2",
    "safetensors": ".safetensors",
    "int8": ".int8.onnx",
}
# Images of the training part that activations are fitted to.
CALIBRATION_IMAGES: Final = 32
# Of the run's learning rate, while a quantised student recovers.
RECOVERY_RATE: Final = 0.1


@final
@dataclass(frozen=True)
class ExportSettings:
    """What is baked in, and how it is measured.

    Attributes:
        normalise: the file takes images in [0, 1].
        resize: the file gives logits on the image's grid.
        temperature: divide the logits by the temperature that `foglight calibrate` stored.
        size: height and width to trace with; None takes those of the first measured image.
        images: at most how many labelled images are measured.
        recover: steps of distillation in simulated int8 before the int8 file is written.
        teacher: who teaches then; None takes the run's own.
    """

    normalise: bool = True
    resize: bool = True
    temperature: bool = False
    size: tuple[int, int] | None = None
    images: int = 50
    recover: int = 0
    teacher: str | None = None


@final
@dataclass(frozen=True)
class ExportReport:
    """What was written and measured.

    Attributes:
        path: of the file.
        kind: of it.
        dynamic: whether it takes images of any size.
        size: that it was traced with.
        baked: what it does by itself.
        parities: the network first.
        before_recovery: the int8 file before distillation; None where nothing was recovered.
        measured_on: in words.
    """

    path: Path
    kind: Kind
    dynamic: bool
    size: tuple[int, int]
    baked: tuple[str, ...]
    parities: tuple[Parity, ...]
    before_recovery: Parity | None
    measured_on: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        before = None if self.before_recovery is None else self.before_recovery.to_dict()
        return {
            **vars(self),
            "path": str(self.path),
            "parities": [one.to_dict() for one in self.parities],
            "before_recovery": before,
        }


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
    if settings.recover and kind != "int8":
        raise ConfigurationError(f"--recover belongs to int8, got --to {kind}", remedy="leave --recover out")
    if not output.suffix or not SUFFIX[kind].endswith(output.suffix):
        raise ConfigurationError(
            f"{output}: --to {kind} writes a file that ends in {SUFFIX[kind]}", remedy="name it so, or leave -o out"
        )
    description = read_metadata(student)
    network = load_student(student)
    report_part = build_part(data, "report")
    if network.num_classes != report_part.info.num_classes:
        raise ConfigurationError(
            f"{student} predicts {network.num_classes} classes, {report_part.info.name} has "
            f"{report_part.info.num_classes}",
            remedy="measure it on data with its own classes, by `--data` and `--root`",
        )
    temperature = _temperature(student, description) if settings.temperature else 1.0
    deployed = _deployed(network, settings, temperature)
    size = settings.size or report_part[0].size
    before: Parity | None = None
    if settings.recover:
        first = output.with_name(f"before-{output.name}")
        _write("int8", deployed, student, first, size, description, settings, data)
        (_, before) = _measured(deployed, {"int8": onnx_runner(first)}, report_part, data, settings, size)
        first.unlink()
        progress.note(f"recovering in simulated int8 for {settings.recover} steps")
        recovered = _recover(student, network, output, settings, data, progress)
        deployed, description = _deployed(recovered, settings, temperature), read_metadata(output.parent / "recovered")
        student = output.parent / "recovered"
    dynamic = _write(kind, deployed, student, output, size, description, settings, data)
    runner = _runner(kind, output, settings, temperature)
    parities = _measured(deployed, {kind: runner}, report_part, data, settings, size)
    number = min(settings.images, len(report_part))
    report = ExportReport(
        output, kind, dynamic, size, _baked(settings), parities, before,
        f"{number} images of the report part of {report_part.info.name}",
    )  # fmt: skip
    card = model_card(
        name=output.name,
        description=description,
        scores=_scores(student),
        parities=parities,
        measured_on=report.measured_on,
        baked=report.baked,
    )
    write_atomically(output.with_name(f"{output.name}.md"), lambda file: file.write(card.encode()))
    write_json(output.with_name(f"{output.name}.export.json"), {**report.to_dict(), **provenance()})
    return report


def _deployed(network: Network, settings: ExportSettings, temperature: float) -> Deployed:
    try:
        return Deployed(network, normalise=settings.normalise, resize=settings.resize, temperature=temperature)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="export the student, which sees colour images alone") from error


def _write(
    kind: Kind,
    deployed: Deployed,
    student: Path,
    output: Path,
    size: tuple[int, int],
    description: Mapping[str, Any],
    settings: ExportSettings,
    data: DataConfig,
) -> bool:
    """The file itself; returns whether it takes any size."""
    match kind:
        case "onnx":
            return export_onnx(deployed, output, size=size, metadata=_metadata(description, settings)).dynamic
        case "int8":
            between = output.with_name(f".{output.name}.float")
            try:
                written = export_onnx(deployed, between, size=size, metadata=_metadata(description, settings))
                images = _training_images(data, settings, size, deployed, dynamic=written.dynamic)
                quantise(between, output, images)
            finally:
                between.unlink(missing_ok=True)
            return written.dynamic
        case "torch-export":
            return export_program(deployed, output, size=size)
        case "safetensors":
            output.parent.mkdir(parents=True, exist_ok=True)
            for source in student_paths(student):
                target = output.with_suffix(source.suffix)
                if source.resolve() != target.resolve():
                    copyfile(source, target)
            return True


def _runner(kind: Kind, output: Path, settings: ExportSettings, temperature: float) -> Runner:
    match kind:
        case "onnx" | "int8":
            return onnx_runner(output)
        case "torch-export":
            return program_runner(output)
        case "safetensors":
            return _deployed(load_student(output), settings, temperature)


def _measured(
    deployed: Deployed,
    runners: Mapping[str, Runner],
    part: SegmentationDataset,
    data: DataConfig,
    settings: ExportSettings,
    size: tuple[int, int],
) -> tuple[Parity, ...]:
    def prepared(runner: Runner) -> Runner:
        return runner if settings.normalise else lambda image: runner((image - deployed.mean) / deployed.std)

    forms = {name: prepared(runner) for name, runner in {REFERENCE: deployed, **runners}.items()}
    batches = whole_images(part, data.model_copy(update={"batch_size": 1}))
    with torch.no_grad():
        return tuple(
            measure_forms(
                forms,
                islice(batches, settings.images),
                class_names=part.info.class_names,
                corners=deployed.module.align_corners,
            )
        )


def _training_images(
    data: DataConfig, settings: ExportSettings, size: tuple[int, int], deployed: Deployed, *, dynamic: bool
) -> Iterator[Tensor]:
    part = build_part(data, "train")
    for batch in islice(whole_images(part, data.model_copy(update={"batch_size": 1})), CALIBRATION_IMAGES):
        image = batch.image
        if not dynamic and tuple(image.shape[2:]) != size:
            continue
        yield image if settings.normalise else (image - deployed.mean) / deployed.std


def _recover(
    student: Path, network: Network, output: Path, settings: ExportSettings, data: DataConfig, progress: Progress
) -> Network:
    """The student distilled on, computing as in int8; its run folder is `recovered` beside the file."""
    config = _recovery_config(student, settings, data)
    folder = output.parent / "recovered"
    seen = whole_images(build_part(data, "train"), data.model_copy(update={"batch_size": 1}))
    with fake_quantised(network, (batch.image for batch in islice(seen, CALIBRATION_IMAGES))):
        run(config, folder, student=network, progress=progress)
    return load_student(folder)


def _recovery_config(student: Path, settings: ExportSettings, data: DataConfig) -> RunConfig:
    path = (student if student.is_dir() else student.parent) / "config.yaml"
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file; recovery goes on with a run", remedy="give a run folder")
    config = read_config(path)
    teacher = config.teacher if settings.teacher is None else ModelConfig(name=settings.teacher)
    if teacher is None:
        raise ConfigurationError(f"{path}: names no teacher to recover from", remedy="name one by `--teacher`")
    optim = config.optim.model_copy(update={"lr": RECOVERY_RATE * config.optim.lr, "warmup": 0.0})
    changes = {"teacher": teacher, "data": data, "optim": optim, "budget": BudgetConfig(steps=settings.recover)}
    return config.model_copy(update=changes)


def _temperature(student: Path, description: Mapping[str, Any]) -> float:
    calibration = description.get("calibration")
    if calibration is None:
        raise ConfigurationError(
            f"{student}: no temperature is stored to bake in", remedy=f"fit one: `foglight calibrate {student}`"
        )
    value = calibration.get("temperature")
    if not isinstance(value, int | float):
        raise ConfigurationError(
            f"{student}: its calibration is {calibration.get('method')}, which is more than one number",
            remedy=f"fit one temperature: `foglight calibrate {student} --method temperature`",
        )
    return float(value)


def _baked(settings: ExportSettings) -> tuple[str, ...]:
    chosen = {"normalisation": settings.normalise, "resize": settings.resize, "temperature": settings.temperature}
    return tuple(name for name, is_baked in chosen.items() if is_baked)


def _metadata(description: Mapping[str, Any], settings: ExportSettings) -> dict[str, Any]:
    kept = ("class_names", "palette", "normalisation", "align_corners", "input_size", "trained_on", "method", "sha256")
    found = {key: description[key] for key in kept if description.get(key) is not None}
    return {**found, "name": description["name"], "baked": list(_baked(settings)), "made_with": "foglight"}


def _scores(student: Path) -> Mapping[str, Any] | None:
    path = (student if student.is_dir() else student.parent) / "result.json"
    if not path.exists():
        return None
    scores: Mapping[str, Any] = json.loads(path.read_text())["student"]
    return scores
