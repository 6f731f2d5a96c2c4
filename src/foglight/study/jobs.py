"""One run of a study: train it, score it on every part, keep both in its folder.

A run that is finished is not repeated, one that was interrupted goes on. Every network is scored raw and under one
temperature that was fitted on the tune part; where a part shares frames with the tune part its scaled scores would be
scores on the frames of the fit, so there are none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch

from foglight.atomic import write_json
from foglight.config.build import build_model, build_part, whole_images
from foglight.config.schema import DataConfig, ModelConfig
from foglight.data.dataset import SegmentationDataset
from foglight.engine.calibrate import raw_and_scaled
from foglight.engine.evaluate import evaluate
from foglight.engine.progress import Progress
from foglight.models.network import Network
from foglight.provenance import provenance
from foglight.run import run
from foglight.study.fixed import RUNS, TEACHERS, Fixed, arm_recipe
from foglight.study.load import Planned, PlannedPart, placed
from foglight.study.schema import REPORT

SCORES: Final = "scores.json"
RESULT: Final = "result.json"
ON_TUNE: Final = "these frames are those of the tune part, on which the temperature is fitted: no scaled scores"


@final
@dataclass(frozen=True)
class Job:
    """A teacher, or one seed of an arm.

    Attributes:
        name: of the teacher or the arm.
        seed: None for a teacher, which has its own.
    """

    name: str
    seed: int | None = None

    def folder(self, study: Path) -> Path:
        """Its run folder."""
        return study / TEACHERS / self.name if self.seed is None else study / RUNS / self.name / f"seed{self.seed}"

    def __str__(self) -> str:
        return f"teacher {self.name}" if self.seed is None else f"{self.name}, seed {self.seed}"


def teacher_jobs(planned: Planned) -> list[Job]:
    """What must be there before any arm."""
    return [Job(name) for name in planned.teachers]


def arm_jobs(planned: Planned) -> list[Job]:
    """Every arm under every seed; seed by seed, so that what is finished early compares all arms."""
    return [Job(name, seed) for seed in planned.study.seeds for name in planned.arms]


def is_finished(job: Job, study: Path) -> bool:
    """Whether it is trained and scored."""
    return (job.folder(study) / SCORES).exists()


def do(job: Job, planned: Planned, fixed: Fixed, study: Path, *, progress: Progress) -> None:
    """Train and score, or as much of it as is missing.

    Raises:
        UserError: as of any run.
        KeyboardInterrupt: after Ctrl-C; the same call goes on.
    """
    folder = job.folder(study)
    recipe = planned.teachers[job.name] if job.seed is None else arm_recipe(planned, fixed, job.name, job.seed)
    config = placed(recipe, study / TEACHERS)
    if not (folder / RESULT).exists():
        run(config, folder, progress=progress)
    if is_finished(job, study):
        return
    progress.note(f"scoring {job}")
    network = build_model(ModelConfig(name=str(folder)), num_classes=None)
    cuda = config.engine.device == "cuda" or (config.engine.device == "auto" and torch.cuda.is_available())
    network.to("cuda" if cuda else "cpu")
    write_json(folder / SCORES, {"parts": scored(network, planned.parts), **provenance()})


def scored(network: Network, parts: Mapping[str, PlannedPart]) -> dict[str, Any]:
    """JSON-ready scores by part, raw and scaled."""
    own = parts[REPORT].data
    tune = build_part(own, "tune")
    return {name: _score(network, tune, own, part) for name, part in parts.items()}


def _score(network: Network, tune: SegmentationDataset, own: DataConfig, part: PlannedPart) -> dict[str, Any]:
    dataset = build_part(part.data, part.part)
    names = dataset.info.class_names
    notes = [*dict.fromkeys([*([] if part.note is None else [part.note]), *dataset.info.notes])]
    batches = whole_images(dataset, part.data)
    known = {"frames": len(dataset), "notes": notes}
    if _same_files(own, part.data) and set(tune.ids) & set(dataset.ids):
        raw = evaluate(network, batches, class_names=names).to_dict()
        return {**known, "raw": raw, "scaled": None, "temperature": None, "refused": ON_TUNE}
    both = raw_and_scaled(network, whole_images(tune, own), batches, class_names=names)
    return {
        **known,
        "raw": both.raw.to_dict(),
        "scaled": None if both.scaled is None else both.scaled.to_dict(),
        "temperature": None if both.temperature is None else both.temperature.value,
        "refused": both.refused,
    }


def _same_files(one: DataConfig, other: DataConfig) -> bool:
    """Whether equal names of frames mean equal frames."""
    return (one.name, one.root, one.options) == (other.name, other.root, other.options)
