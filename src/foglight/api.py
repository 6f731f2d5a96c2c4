"""foglight from Python: train, distil, evaluate and predict as the command line does, and pieces for one's own loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn

from foglight.config.budget_text import parse_budget
from foglight.config.build import build_model, build_part, whole_images
from foglight.config.schema import (
    BudgetConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
)
from foglight.data.groups import Part
from foglight.engine.cost import parameter_count
from foglight.engine.evaluate import EvaluateSettings
from foglight.engine.evaluate import evaluate as evaluate_network
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError
from foglight.models.adapters.own_module import as_network
from foglight.models.network import Network
from foglight.models.student_file import read_metadata
from foglight.prediction import PredictionSummary, predict_files
from foglight.run import RunResult, run

CUSTOM = "given in Python"
SmallNetwork = str | nn.Module


@final
@dataclass(frozen=True)
class EvaluationReport:
    """The scores of one network on one part of a data set.

    Attributes:
        model: as it was named.
        part: train, tune or report.
        frames: how many were scored.
        parameters: of the network.
        scores: as `SegmentationScores.to_dict()` gives them.
        notes: warnings of the data set about this split.
    """

    model: str
    part: str
    frames: int
    parameters: int
    scores: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {**vars(self), "notes": list(self.notes)}


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


def evaluate(
    model: str | Network,
    *,
    data: str | DataConfig,
    part: Part = "report",
    settings: EvaluateSettings | None = None,
    device: str = "cpu",
    trust: bool = False,
) -> EvaluationReport:
    """Score a run folder, a student file, a registry name or a network on one part of a data set.

    Raises:
        ConfigurationError: if the network's classes are not the data's.
    """
    config = _data(data)
    dataset = build_part(config, part)
    name = model if isinstance(model, str) else model.name
    network = (
        model if isinstance(model, Network) else build_model(ModelConfig(name=model), num_classes=None, trust=trust)
    )
    if network.num_classes != dataset.info.num_classes:
        raise ConfigurationError(
            f"{name} predicts {network.num_classes} classes, {dataset.info.name} has {dataset.info.num_classes}",
            remedy="evaluate it on data with its own classes",
        )
    network.to(device)
    batches = (batch.to(device) for batch in whole_images(dataset, config))
    scores = evaluate_network(network, batches, class_names=dataset.info.class_names, settings=settings)
    return EvaluationReport(name, part, len(dataset), parameter_count(network), scores.to_dict(), dataset.info.notes)


def predict(
    model: str,
    images: Sequence[Path],
    output: Path,
    *,
    overlay: bool = True,
    alpha: float = 0.5,
    settings: EvaluateSettings | None = None,
    device: str = "cpu",
    trust: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Write masks and overlays for images on disk with a student that knows its classes and colours."""
    network = build_model(ModelConfig(name=model), num_classes=None, trust=trust).to(device)
    described = read_metadata(Path(model))
    size = described.get("input_size")
    return predict_files(
        network,
        images,
        output,
        palette=[(red, green, blue) for red, green, blue in described["palette"]],
        overlay=overlay,
        alpha=alpha,
        # A student that was trained on resized frames sees every image at that size.
        input_size=None if size is None else (size[0], size[1]),
        settings=settings,
        progress=progress,
    )


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
            "data": _data(data),
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


def _data(data: str | DataConfig) -> DataConfig:
    return DataConfig(name=data) if isinstance(data, str) else data
