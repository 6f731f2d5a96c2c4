"""One run from a recipe to a run folder: build, check, train, keep the student, score it.

The same recipe into the same folder resumes; another recipe into it is refused. A folder holds `config.yaml` (complete,
resolved), `run.json` (what was asked, measured and found), `metrics.jsonl`, `last.ckpt`, `preflight.json`, and at the
end `student.safetensors`, `student.json` and `result.json`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import nn

from foglight.atomic import write_json
from foglight.config.build import Data, build_data, build_model, build_specs, build_student, micro_batches, whole_images
from foglight.config.presets import expand
from foglight.config.schema import RunConfig
from foglight.data.cached import CachedDataset
from foglight.data.dataset import SegmentationDataset
from foglight.engine.checkpoint import network_hash
from foglight.engine.distiller import Distiller, freeze
from foglight.engine.evaluate import evaluate
from foglight.engine.fast import fast_teacher
from foglight.engine.measure import measured_step
from foglight.engine.preflight import as_dict, check_batch, check_dropout, check_teacher, check_terms
from foglight.engine.processes import Processes, joined
from foglight.engine.progress import Progress, Silent
from foglight.engine.teacher_stage import adapt_all
from foglight.engine.trainer import Plan, fit
from foglight.errors import ConfigurationError
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.report.refined_maps import write_refined_maps
from foglight.run_folder import adaptation_key, fingerprint, keep_result, settled_steps
from foglight.types import Batch

PREFLIGHT_IMAGES: Final = 32


@final
@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        folder: where everything about it lies.
        scores: of the kept student, on the report part.
        teacher_scores: of the teacher on the same frames; None without one.
        steps: student updates.
        seconds: wall-clock time of training in this process, without evaluation.
        student: the kept student, in eval mode.
    """

    folder: Path
    scores: Mapping[str, Any]
    teacher_scores: Mapping[str, Any] | None
    steps: int
    seconds: float
    student: Network


def run(
    config: RunConfig,
    output: Path,
    *,
    student: Network | None = None,
    teacher: Network | Ensemble | None = None,
    data: Data | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Train and score one student; networks that are given stand for those that the recipe names.

    With several devices or nodes every process comes here, and each returns the same result.

    Raises:
        UserError: for everything that a user can mend.
        KeyboardInterrupt: after Ctrl-C; the same call resumes.
    """
    config = _in_full(config)
    with joined(config.engine) as processes:
        if config.engine.threads is not None:
            torch.set_num_threads(config.engine.threads)
        data = data or build_data(config.data, seed=config.seed)
        student, teacher = _networks(config, student, teacher, data.train.info.num_classes, trust=trust)
        progress = progress if progress is not None and processes.leads else Silent()
        return _run(config, output, student, teacher, data, processes, progress)


def _run(
    config: RunConfig,
    output: Path,
    student: Network,
    teacher: Network | Ensemble | None,
    data: Data,
    processes: Processes,
    progress: Progress,
) -> RunResult:
    teacher_hash = None if teacher is None else network_hash(freeze(teacher))
    distiller = _build_distiller(config, student, teacher, data)
    for note in _notes(data, student, teacher, distiller):
        progress.note(note)
    steps = _before_training(config, output, distiller, teacher_hash, data, processes, progress)
    plan = _plan(config, output, fingerprint(config, teacher_hash), data, steps, processes)
    start = time.perf_counter()
    fitted = fit(distiller, plan, progress=progress)
    seconds = time.perf_counter() - start
    student.load_state_dict(fitted.state)
    student.eval()
    distiller.to(_device(config))
    scores = _score(student, data, config, processes)
    teacher_scores = None if teacher is None else _score(teacher, data, config, processes)
    if processes.leads:
        info = data.train.info
        keep_result(student, output, config, info, steps=fitted.step, scores=scores, teacher_scores=teacher_scores)
        write_refined_maps(distiller, next(_on_device(whole_images(data.tune, config.data), distiller)), output)
    return RunResult(output, scores, teacher_scores, fitted.step, seconds, student)


def _networks(
    config: RunConfig,
    student: Network | None,
    teacher: Network | Ensemble | None,
    num_classes: int,
    *,
    trust: bool,
) -> tuple[Network, Network | Ensemble | None]:
    """Those that are given, or those that the recipe names; both for the classes of the data."""
    student = student or build_student(config, num_classes=num_classes, trust=trust)
    if teacher is None and config.teacher is not None:
        teacher = build_model(config.teacher, num_classes=None, trust=trust)
    _require_classes("student", student, num_classes)
    if teacher is not None:
        _require_classes("teacher", teacher, num_classes)
    return student, teacher


def _notes(data: Data, student: Network, teacher: Network | Ensemble | None, distiller: Distiller) -> Iterator[str]:
    """What a person should know before the first step."""
    yield from data.train.info.notes
    parts = (data.train, data.tune, data.report)
    cached = sum(part.expected_nbytes for part in parts if isinstance(part, CachedDataset))
    if cached:
        yield f"cache: decoded frames will take {cached / 1e6:.0f} MB of memory"
    yield f"student {student.name}: {student.weights_source}"
    if isinstance(teacher, Network):
        yield f"teacher {teacher.name}: {teacher.weights_source}"
    for name in distiller.terms.left_out:
        yield f"{name}: weight 0, left out"


def _before_training(
    config: RunConfig,
    output: Path,
    distiller: Distiller,
    teacher_hash: str | None,
    data: Data,
    processes: Processes,
    progress: Progress,
) -> int:
    """Preflight, budget, and the stage that adapts modules on the teacher; returns the number of updates."""

    def shared(number: int) -> Iterator[Batch]:
        return _on_device(_share(data, config, processes, 0, number), distiller)

    def undivided(number: int) -> Iterator[Batch]:
        return _on_device(micro_batches(data, config.data, 0, number), distiller)

    def measure() -> float:
        progress.note("measuring a step, to turn seconds into steps")
        return measured_step(distiller, shared, config)

    def adapt() -> None:
        key = adaptation_key(config, teacher_hash)
        adapt_all(distiller, undivided, folder=output, key=key, progress=progress)

    # First: a run that is refused leaves nothing behind.
    _preflight(config, output, distiller, data, processes, progress)
    steps = settled_steps(config, output, fingerprint(config, teacher_hash), measure, processes)
    processes.agreed(adapt)
    if not processes.leads:
        # The leader has stored what it adapted.
        adapt()
    distiller.total_steps = steps
    return steps


def _in_full(config: RunConfig) -> RunConfig:
    """With the method's losses, and with what `fast` stands for."""
    expanded = expand(config)
    if not expanded.engine.fast:
        return expanded
    return expanded.model_copy(update={"engine": expanded.engine.model_copy(update={"precision": "bf16"})})


def _require_classes(role: str, network: Network | Ensemble, num_classes: int) -> None:
    if network.num_classes != num_classes:
        raise ConfigurationError(
            f"the {role} {network.name} predicts {network.num_classes} classes, the data has {num_classes}",
            remedy=f"choose a {role} for these classes, or data with the classes of the {role}",
        )


def _build_distiller(config: RunConfig, student: Network, teacher: Network | Ensemble | None, data: Data) -> Distiller:
    if config.engine.fast:
        student = student.to(memory_format=torch.channels_last)
        teacher = fast_teacher(teacher, half=True) if isinstance(teacher, Network) else teacher
    specs = build_specs(config.losses, seed=config.seed, train=data.train)
    try:
        distiller = Distiller(student, teacher, specs, seed=config.seed, ignore_index=data.train.info.ignore_index)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="name a `--teacher`, or a method that needs none") from error
    return distiller.to(_device(config))


def _preflight(
    config: RunConfig, output: Path, distiller: Distiller, data: Data, processes: Processes, progress: Progress
) -> None:
    check_dropout(distiller, config.allow)
    check_batch(distiller, config.data.batch_size // processes.count, data.train.info.num_classes, config.allow)
    path = output / "preflight.json"
    if not config.preflight or processes.agreed(path.exists):
        return
    progress.note("preflight")
    batch = next(_on_device(_share(data, config, processes, 0, 1), distiller))
    checks = check_terms(distiller, batch, config.allow)
    teacher_miou = untrained_miou = None
    if distiller.teacher is not None and distiller.terms.requires.teacher:
        frames = max(PREFLIGHT_IMAGES // config.data.batch_size, 1)
        names = data.tune.info.class_names
        for network in (distiller.teacher, distiller.student):
            batches = _on_device(islice(_frames(data.tune, config, processes), frames), distiller)
            scores = evaluate(network, batches, class_names=names, boundary=False)
            teacher_miou, untrained_miou = (
                (scores.miou, None) if network is distiller.teacher else (teacher_miou, scores.miou)
            )
        check_teacher(teacher_miou, untrained_miou, data.train.info.num_classes, config.allow)
    if processes.leads:
        write_json(
            path,
            {
                "terms": as_dict(checks),
                "teacher_miou": teacher_miou,
                "untrained_student_miou": untrained_miou,
                "active_dropouts": [vars(dropout) for dropout in distiller.student.info().dropouts],
                "allowed": list(config.allow),
            },
        )


def _device(config: RunConfig) -> str:
    if config.engine.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.engine.device


def _on_device(batches: Iterable[Batch], module: nn.Module) -> Iterator[Batch]:
    device = next(module.parameters()).device
    return (batch.to(device) for batch in batches)


def _share(data: Data, config: RunConfig, processes: Processes, first: int, number: int) -> Iterable[Batch]:
    """This process's part of a stretch of the stream."""
    return micro_batches(data, config.data, first, number, rank=processes.rank, world_size=processes.count)


def _frames(dataset: SegmentationDataset, config: RunConfig, processes: Processes) -> Iterable[Batch]:
    """The whole images of this process."""
    return whole_images(dataset, config.data, rank=processes.rank, world_size=processes.count)


def _plan(config: RunConfig, output: Path, fingerprint: str, data: Data, steps: int, processes: Processes) -> Plan:
    def score(student: Network) -> Mapping[str, Any]:
        batches = _on_device(_frames(data.tune, config, processes), student)
        scores = evaluate(student, batches, class_names=data.tune.info.class_names, boundary=False).to_dict()
        return {name: value for name, value in scores.items() if value is None or isinstance(value, int | float)}

    return Plan(
        folder=output,
        batches=lambda first, number: _share(data, config, processes, first, number),
        total_steps=steps,
        optim=config.optim,
        engine=config.engine,
        seed=config.seed,
        fingerprint=fingerprint,
        score=score if config.engine.evaluate_every else None,
        allow=config.allow,
        processes=processes,
    )


def _score(network: Network | Ensemble, data: Data, config: RunConfig, processes: Processes) -> Mapping[str, Any]:
    batches = _on_device(_frames(data.report, config, processes), network)
    return evaluate(network, batches, class_names=data.report.info.class_names).to_dict()
