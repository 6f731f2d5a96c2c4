"""From a recipe to everything that a run trains with: data, student, teacher, and the distiller that joins them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import torch
from torch import nn

from foglight.config.build import (
    Data,
    build_data,
    build_specs,
    build_student,
    build_teacher,
    micro_batches,
    whole_images,
)
from foglight.config.presets import expand
from foglight.config.schema import FinetuneConfig, RunConfig
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.engine.checkpoint import network_hash
from foglight.engine.distiller import Distiller, freeze
from foglight.engine.fast import fast_teacher
from foglight.engine.finetune import finetuned, hash_after
from foglight.engine.processes import Processes
from foglight.engine.progress import Progress, Silent
from foglight.errors import ConfigurationError
from foglight.models.ensemble import Ensemble
from foglight.models.extra_input import require_known_kinds
from foglight.models.network import Network
from foglight.types import Batch

_ON_OTHER_CLASSES: Final = {
    "student": "choose a student for these classes, or data with the student's classes",
    "teacher": "give `--class-map FILE` (teacher class: data class) or `--class-map by-name`, or train its head on the "
    "data by `--finetune-teacher STEPS`",
}


@final
@dataclass(frozen=True)
class Prepared:
    """A run before its first step.

    Attributes:
        config: the recipe in full.
        data: its parts and its stream.
        student: what is trained.
        teacher: as it was named, in eval mode and frozen; the distiller may hold a faster copy.
        teacher_hash: of its weights; None without one.
        distiller: student, teacher and losses, on the run's device.
        processes: that train together.
    """

    config: RunConfig
    data: Data
    student: Network
    teacher: Network | Ensemble | None
    teacher_hash: str | None
    distiller: Distiller
    processes: Processes

    def stretch(self, first: int, number: int) -> Iterable[Batch]:
        """This process's part of a stretch of the training stream."""
        processes = self.processes
        return micro_batches(
            self.data, self.config.data, first, number, rank=processes.rank, world_size=processes.count
        )

    def beginning(self, number: int) -> Iterator[Batch]:
        """The first micro-batches of this process, on the run's device."""
        return on_device(self.stretch(0, number), self.distiller)

    def frames(self, dataset: SegmentationDataset, module: nn.Module) -> Iterator[Batch]:
        """The whole images of this process, on the device of a network."""
        processes = self.processes
        batches = whole_images(dataset, self.config.data, rank=processes.rank, world_size=processes.count)
        return on_device(batches, module)


def in_full(config: RunConfig) -> RunConfig:
    """With the method's losses, and with what `fast` stands for."""
    expanded = expand(config)
    if not expanded.engine.fast:
        return expanded
    return expanded.model_copy(update={"engine": expanded.engine.model_copy(update={"precision": "bf16"})})


def prepare(
    config: RunConfig,
    processes: Processes,
    *,
    student: Network | None = None,
    teacher: Network | Ensemble | None = None,
    data: Data | None = None,
    trust: bool = False,
    adapted: Path | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Build everything; networks and data that are given stand for those that the recipe names.

    Args:
        config: the recipe in full.
        processes: that train together.
        student: given in Python.
        teacher: given in Python.
        data: given in Python.
        trust: load pickled checkpoints.
        adapted: where a finetuned teacher is stored and found; without it none is finetuned.
        progress: is told of it.

    Raises:
        UserError: for everything that a user can mend.
    """
    if config.engine.threads is not None:
        torch.set_num_threads(config.engine.threads)
    data = data or build_data(config.data, seed=config.seed)
    finetune = None if teacher is not None or config.teacher is None else config.teacher.finetune
    student, teacher = _networks(config, student, teacher, data.train.info, trust=trust)
    teacher_hash = None if teacher is None else network_hash(freeze(teacher))
    if finetune is not None and isinstance(teacher, Network) and teacher_hash is not None:
        teacher_hash = hash_after(teacher_hash, finetune, config.model_dump(mode="json", include={"seed", "data"}))
        if adapted is not None:
            path = adapted / f"{teacher_hash[:16]}-teacher.ckpt"
            _finetune(teacher, finetune, path, config, data, processes, progress or Silent())
    distiller = _distiller(config, student, teacher, data)
    return Prepared(config, data, student, teacher, teacher_hash, distiller, processes)


def device_of(config: RunConfig) -> str:
    """Where a run happens."""
    if config.engine.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.engine.device


def on_device(batches: Iterable[Batch], module: nn.Module) -> Iterator[Batch]:
    """The batches, where the module is."""
    device = next(module.parameters()).device
    return (batch.to(device) for batch in batches)


def _networks(
    config: RunConfig,
    student: Network | None,
    teacher: Network | Ensemble | None,
    info: DataInfo,
    *,
    trust: bool,
) -> tuple[Network, Network | Ensemble | None]:
    """Those that are given, or those that the recipe names; both for the classes of the data."""
    num_classes = info.num_classes
    student = student or build_student(config, num_classes=num_classes, trust=trust)
    if teacher is None and config.teacher is not None:
        teacher = build_teacher(config.teacher, class_names=info.class_names, seed=config.seed, trust=trust)
    _require_classes("student", student, num_classes)
    if teacher is not None:
        _require_classes("teacher", teacher, num_classes)
        for member in [teacher] if isinstance(teacher, Network) else teacher.members:
            require_known_kinds(member.extra_kinds, info.extra_kinds, name=f"the teacher {member.name}")
    return student, teacher


def _require_classes(role: str, network: Network | Ensemble, num_classes: int) -> None:
    if network.num_classes != num_classes:
        raise ConfigurationError(
            f"the {role} {network.name} predicts {network.num_classes} classes, the data has {num_classes}",
            remedy=_ON_OTHER_CLASSES[role],
        )


def _finetune(
    teacher: Network,
    how: FinetuneConfig,
    path: Path,
    config: RunConfig,
    data: Data,
    processes: Processes,
    progress: Progress,
) -> None:
    """The leader trains and stores, the others read what it has stored."""
    teacher.to(device_of(config))

    def learn() -> None:
        # On the whole batches, whatever the number of processes.
        finetuned(
            teacher,
            lambda number: on_device(micro_batches(data, config.data, 0, number), teacher),
            how,
            path=path,
            progress=progress,
        )

    processes.agreed(learn)
    if not processes.leads:
        learn()


def _distiller(config: RunConfig, student: Network, teacher: Network | Ensemble | None, data: Data) -> Distiller:
    if config.engine.fast:
        student = student.to(memory_format=torch.channels_last)
        teacher = fast_teacher(teacher, half=True) if isinstance(teacher, Network) else teacher
    specs = build_specs(config.losses, seed=config.seed, train=data.train)
    try:
        distiller = Distiller(student, teacher, specs, seed=config.seed, ignore_index=data.train.info.ignore_index)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="name a `--teacher`, or a method that needs none") from error
    return distiller.to(device_of(config))
