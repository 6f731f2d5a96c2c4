"""One student on its way out: the network as it is exported, the data it is measured on, and the files made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shutil import copyfile
from typing import Any, Final, final

import torch
from torch import Tensor

from foglight.config.build import build_part, whole_images
from foglight.config.schema import DataConfig
from foglight.data.dataset import SegmentationDataset
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError, UserError
from foglight.export.deployed import Deployed
from foglight.export.int8 import quantise
from foglight.export.measure import REFERENCE, Parity, measure_forms
from foglight.export.onnx_file import Runner, export_onnx, onnx_runner
from foglight.export.torch_program import export_program, program_runner
from foglight.exporting.records import ExportSettings, Kind
from foglight.models.network import Network
from foglight.models.student_file import load_student, student_paths
from foglight.types import Batch

# Images of the training part that activations are fitted to.
CALIBRATION_IMAGES: Final = 32


@final
@dataclass(frozen=True)
class Written:
    """Files of one student.

    Attributes:
        files: by kind; the one that was asked for comes first.
        dynamic: whether that one takes images of any size.
        all_dynamic: whether every one does.
    """

    files: Mapping[Kind, Path]
    dynamic: bool
    all_dynamic: bool


@final
@dataclass(frozen=True)
class Subject:
    """A student and all that its files are made from.

    Attributes:
        path: its run folder or file.
        description: what `student.json` says.
        deployed: the network with what is baked in.
        size: height and width to trace with.
        settings: what was asked.
        data: whose training part activations are fitted to.
    """

    path: Path
    description: Mapping[str, Any]
    deployed: Deployed
    size: tuple[int, int]
    settings: ExportSettings
    data: DataConfig

    def write(self, kind: Kind, output: Path, scratch: Path, progress: Progress) -> Written:
        """The file itself, and into the folder `scratch` the ONNX and int8 files that it is measured beside."""
        files: dict[Kind, Path] = {kind: output}
        match kind:
            case "onnx":
                dynamic = self._write_onnx(output)
            case "int8":
                files["onnx"] = scratch / f"float-{output.name}"
                dynamic = self._write_onnx(files["onnx"])
                self._write_int8(files["onnx"], output, dynamic=dynamic)
            case "torch-export":
                dynamic = export_program(self.deployed, output, size=self.size)
            case "safetensors":
                self._copy_weights(output)
                dynamic = True
        all_dynamic = dynamic
        try:
            if "onnx" not in files:
                beside = scratch / f"beside-{output.name}.onnx"
                all_dynamic = self._write_onnx(beside) and dynamic
                files["onnx"] = beside
            if "int8" not in files:
                beside = scratch / f"beside-{output.name}.int8.onnx"
                self._write_int8(files["onnx"], beside, dynamic=all_dynamic)
                files["int8"] = beside
        except UserError as error:
            # What was asked for stands; only the comparison is shorter.
            progress.note(f"{output.name} is not measured beside every form: {error}")
        return Written(files, dynamic, all_dynamic)

    def measure(self, written: Written, part: SegmentationDataset) -> tuple[Parity, ...]:
        """The network, the file and what was written beside it, on images that the file takes.

        Raises:
            ConfigurationError: if no image has the only size that the file takes.
        """
        runners = {kind: self._runner(kind, path) for kind, path in written.files.items()}
        forms = {name: self._normalised(runner) for name, runner in {REFERENCE: self.deployed, **runners}.items()}
        batches = (batch for batch in _one_by_one(part, self.data) if written.all_dynamic or self._fits(batch.image))
        first = next(batches, None)
        if first is None:
            raise self._no_image(part)
        with torch.no_grad():
            return tuple(
                measure_forms(
                    forms,
                    _with_first(first, islice(batches, self.settings.images - 1)),
                    class_names=part.info.class_names,
                    corners=self.deployed.module.align_corners,
                )
            )

    def _write_onnx(self, output: Path) -> bool:
        kept = (
            "class_names", "palette", "normalisation", "align_corners", "input_size", "trained_on", "method", "sha256",
        )  # fmt: skip
        found = {key: self.description[key] for key in kept if self.description.get(key) is not None}
        metadata = {**found, "name": self.description["name"], "baked": list(self.settings.baked)}
        written = export_onnx(self.deployed, output, size=self.size, metadata={**metadata, "made_with": "foglight"})
        return written.dynamic

    def _write_int8(self, source: Path, output: Path, *, dynamic: bool) -> None:
        quantise(source, output, self._training_images(dynamic=dynamic))

    def _copy_weights(self, output: Path) -> None:
        weights, described = student_paths(self.path)
        calibrator = weights.with_suffix(".calibrator.pt")
        copyfile(weights, output.with_suffix(".safetensors"))
        copyfile(described, output.with_suffix(".json"))
        if calibrator.exists():
            copyfile(calibrator, output.with_suffix(".calibrator.pt"))

    def _training_images(self, *, dynamic: bool) -> Iterator[Tensor]:
        part = build_part(self.data, "train")
        images = (batch.image for batch in islice(_one_by_one(part, self.data), CALIBRATION_IMAGES))
        fitting = [self._given(image) for image in images if dynamic or self._fits(image)]
        if not fitting:
            raise self._no_image(part)
        return iter(fitting)

    def _runner(self, kind: Kind, output: Path) -> Runner:
        match kind:
            case "onnx" | "int8":
                return onnx_runner(output)
            case "torch-export":
                return program_runner(output)
            case "safetensors":
                return deployed(load_student(output), self.settings, self.deployed.temperature)

    def _normalised(self, runner: Runner) -> Runner:
        return lambda image: runner(self._given(image))

    def _given(self, image: Tensor) -> Tensor:
        """The image as the file takes it."""
        if self.settings.normalise:
            return image
        return (image - self.deployed.mean) / self.deployed.std

    def _fits(self, image: Tensor) -> bool:
        return tuple(image.shape[2:]) == self.size

    def _no_image(self, part: SegmentationDataset) -> ConfigurationError:
        height, width = self.size
        return ConfigurationError(
            f"no image of {part.info.name} is {height}x{width}, the only size that this architecture's file takes",
            remedy="give the size of the data's images by `--size HxW`",
        )


def deployed(network: Network, settings: ExportSettings, temperature: float) -> Deployed:
    """The network with what is baked in.

    Raises:
        ConfigurationError: for a network that reads more than colour images.
    """
    try:
        return Deployed(network, normalise=settings.normalise, resize=settings.resize, temperature=temperature)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="export the student, which sees colour images alone") from error


def _one_by_one(part: SegmentationDataset, data: DataConfig) -> Iterator[Batch]:
    return iter(whole_images(part, data.model_copy(update={"batch_size": 1})))


def _with_first(first: Batch, others: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from others
