"""foglight from Python: train, distil, evaluate and predict as the command line does, and pieces for one's own loop."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from foglight.calibration import required_calibration
from foglight.config.budget_text import parse_budget
from foglight.config.build import build_model
from foglight.config.schema import (
    BudgetConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
)
from foglight.data.image_list import find_images
from foglight.data.palette import default_palette
from foglight.engine.evaluate import EvaluateSettings
from foglight.engine.progress import Progress
from foglight.engine.uncertainty import PASSES, Uncertainty
from foglight.errors import ConfigurationError
from foglight.evaluation import CalibrationReport, EvaluationReport, as_data_config, calibrate, evaluate
from foglight.models.adapters.own_module import as_network
from foglight.models.network import Network
from foglight.models.student_file import read_metadata
from foglight.prediction.files import predict_files
from foglight.prediction.request import (
    LARGEST_WHOLE,
    PredictionRequest,
    PredictionSummary,
    UncertaintyRequest,
)
from foglight.provenance import provenance
from foglight.report.records import Report
from foglight.reporting.collect import ReportOptions
from foglight.reporting.collect import write_report as write_page
from foglight.run import RunResult, run

__all__ = [
    "LARGEST_WHOLE",
    "CalibrationReport",
    "EvaluateSettings",
    "EvaluationReport",
    "PredictionSummary",
    "calibrate",
    "distill",
    "evaluate",
    "predict",
    "run_distillation",
    "run_training",
    "train",
]

CUSTOM = "given in Python"
SmallNetwork = str | nn.Module


def run_training(
    config: RunConfig, output: Path, *, trust: bool = False, progress: Progress | None = None
) -> RunResult:
    """Supervised training of the student that a recipe names: a teacher or a baseline.

    Raises:
        ConfigurationError: if the recipe names a teacher.
    """
    if config.teacher is not None:
        raise ConfigurationError(
            f"teacher: {config.teacher.name}: training is supervised",
            remedy="use `foglight distill`, or drop `teacher:`",
        )
    return run(config, output, trust=trust, progress=progress)


def run_distillation(
    config: RunConfig, output: Path, *, trust: bool = False, progress: Progress | None = None
) -> RunResult:
    """Distillation as a recipe says.

    Raises:
        ConfigurationError: if the recipe names no teacher.
    """
    if config.teacher is None:
        raise ConfigurationError(
            "distillation needs a teacher, got none", remedy="pass `--teacher`, or use `foglight train`"
        )
    return run(config, output, trust=trust, progress=progress)


def distill(
    *,
    teacher: SmallNetwork,
    student: SmallNetwork,
    data: str | DataConfig,
    method: str = "kd",
    budget: str | BudgetConfig = "2000 steps",
    output: str | Path = "runs/distilled",
    recipe: RunConfig | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Distil `teacher` into `student`.

    Args:
        teacher: a run folder, a student file, a registry name, or any module that returns logits.
        student: a registry name, a file, or any module that returns logits.
        data: a data set's name, a folder with `images/` and `masks/`, or a full configuration.
        method: a method preset.
        budget: such as "2000 steps", "32000 samples" or "600 seconds".
        output: the run folder.
        recipe: everything else; its student, teacher, data, method and budget are replaced.
        progress: is told what happens.
    """
    config = _config(recipe, student=student, teacher=teacher, data=data, method=method, budget=budget)
    return run(config, Path(output), student=_network(student), teacher=_network(teacher), progress=progress)


def train(
    *,
    student: SmallNetwork,
    data: str | DataConfig,
    method: str = "ce",
    budget: str | BudgetConfig = "2000 steps",
    output: str | Path = "runs/trained",
    recipe: RunConfig | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Train a network on labels alone; see `distill` for the arguments."""
    config = _config(recipe, student=student, teacher=None, data=data, method=method, budget=budget)
    return run(config, Path(output), student=_network(student), progress=progress)


def predict(
    model: str,
    images: Sequence[Path],
    output: Path,
    *,
    overlay: bool = True,
    alpha: float = 0.5,
    settings: EvaluateSettings | None = None,
    largest_whole: int | None = LARGEST_WHOLE,
    recursive: bool = False,
    resume: bool = False,
    soft: int = 0,
    calibrated: bool = False,
    uncertainty: Sequence[Uncertainty] = (),
    passes: int = PASSES,
    raw: bool = False,
    device: str = "cpu",
    trust: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Write masks and what goes with them for images on disk with a student that knows its classes and colours.

    Args:
        model: a run folder or a student file.
        images: files, folders of them, or text files that list them (`@list.txt`).
        output: the folder for all that is written.
        overlay: whether to write overlays.
        alpha: the share of the mask's colour in an overlay.
        settings: how an image is predicted.
        largest_whole: an image of more pixels is seen through windows where `settings` chose none; None never.
        recursive: search folders in folders, and keep their tree.
        resume: leave out images whose results are there and were made in the very same way.
        soft: how many classes soft labels keep of every pixel; 0 writes none.
        calibrated: apply the calibration that `calibrate` stored.
        uncertainty: the maps to write beside each mask.
        passes: under dropout, of which these maps tell.
        raw: write the maps as .npy.
        device: where the network runs.
        trust: load pickled checkpoints.
        progress: is told after every image.

    Raises:
        CheckpointError: if the model is no student file.
        ConfigurationError: if it was never calibrated and `calibrated` asks for it, or has no dropout for a map; or if
            a mask would replace an image.
        DataError: if there is no image at all, or two would be written to one file.
    """
    found = find_images(images, recursive=recursive, leave_out=[output] if recursive else [])
    network = build_model(ModelConfig(name=model), num_classes=None, trust=trust).to(device)
    described, settings = read_metadata(Path(model)), settings or EvaluateSettings()
    if calibrated:
        settings = replace(settings, calibrator=required_calibration(model), temperature=1.0)
    calibration = described["calibration"] if calibrated else None
    made_by = {
        "model": model,
        "calibration": calibration,
        "sliding": None if settings.sliding is None else list(settings.sliding),
        "provenance": provenance(),
    }
    size = described.get("input_size")
    palette = described.get("palette") or default_palette(network.num_classes)
    request = PredictionRequest(
        palette=[(red, green, blue) for red, green, blue in palette],
        alpha=alpha if overlay else None,
        soft=soft,
        uncertainty=UncertaintyRequest(tuple(uncertainty), passes, raw, made_by) if uncertainty else None,
        # A student that was trained on resized frames sees every image at that size.
        input_size=None if size is None else (size[0], size[1]),
        settings=settings,
        largest_whole=largest_whole,
        identity={"weights": described["sha256"], "calibration": calibration},
    )
    return predict_files(network, found, output, request, resume=resume, progress=progress)


def write_report(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    options: ReportOptions | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare finished runs in one self-contained HTML page.

    Args:
        runs: folders of distilled runs and of the student alone; teachers are found by their recipes.
        output: of the page; its folder must exist.
        options: baseline, other data, number of frames shown, device.
        progress: is told which network is being scored.
    """
    return write_page([Path(run) for run in runs], Path(output), options=options, progress=progress)


def _config(
    recipe: RunConfig | None,
    *,
    student: SmallNetwork,
    teacher: SmallNetwork | None,
    data: str | DataConfig,
    method: str,
    budget: str | BudgetConfig,
) -> RunConfig:
    base = recipe or RunConfig(student=ModelConfig(name=CUSTOM))
    return base.model_copy(
        update={
            "student": _model(student),
            "teacher": None if teacher is None else _model(teacher),
            "data": as_data_config(data),
            "method": method,
            "losses": RunConfig.model_fields["losses"].default,
            "budget": parse_budget(budget) if isinstance(budget, str) else budget,
        }
    )


def _model(network: SmallNetwork) -> ModelConfig:
    return ModelConfig(name=network if isinstance(network, str) else CUSTOM)


def _network(network: SmallNetwork) -> Network | None:
    if isinstance(network, str):
        return None
    return network if isinstance(network, Network) else as_network(network)
