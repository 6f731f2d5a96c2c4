"""A quantised student distilled on: the run that made it goes on for some steps, computing as in int8."""

from itertools import islice
from pathlib import Path
from typing import Final

from foglight.config.build import build_part, whole_images
from foglight.config.load import read_config
from foglight.config.schema import BudgetConfig, DataConfig, ModelConfig, RunConfig
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError
from foglight.export.fake_quantised import fake_quantised
from foglight.exporting.records import ExportSettings
from foglight.exporting.subject import CALIBRATION_IMAGES
from foglight.models.network import Network
from foglight.models.student_file import load_student
from foglight.run import run

# Of the run's learning rate.
RECOVERY_RATE: Final = 0.1


def recovery_config(student: Path, settings: ExportSettings, data: DataConfig) -> RunConfig:
    """The student's own run, for `settings.recover` further steps.

    Raises:
        ConfigurationError: if its run folder is not at hand, or names no teacher.
    """
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


def recover(config: RunConfig, network: Network, folder: Path, progress: Progress) -> Network:
    """The student after these steps; `folder` becomes their run folder."""
    progress.note(f"recovering in simulated int8 for {config.budget.steps} steps")
    seen = whole_images(build_part(config.data, "train"), config.data.model_copy(update={"batch_size": 1}))
    with fake_quantised(network, (batch.image for batch in islice(seen, CALIBRATION_IMAGES))):
        run(config, folder, student=network, progress=progress)
    return load_student(folder)
