"""One run from a recipe to a run folder: build, check, train, keep the student, score it.

The same recipe into the same folder resumes; another recipe into it is refused. A folder holds `config.yaml` (complete,
resolved), `run.json` (what was asked, measured and found), `metrics.jsonl`, `last.ckpt`, `preflight.json`, and at the
end `student.safetensors`, `student.json` and `result.json`.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import nn

from foglight.atomic import write_atomically, write_json
from foglight.config.build import Data, build_data, build_model, build_specs, build_student, micro_batches, whole_images
from foglight.config.load import dump_config
from foglight.config.presets import expand
from foglight.config.schema import BudgetConfig, RunConfig
from foglight.engine.budget import budget_steps
from foglight.engine.checkpoint import network_hash
from foglight.engine.distiller import Distiller, freeze
from foglight.engine.evaluate import evaluate
from foglight.engine.fast import fast_teacher
from foglight.engine.measure import Batches, measured_step
from foglight.engine.preflight import as_dict, check_dropout, check_teacher, check_terms
from foglight.engine.progress import Progress, Silent
from foglight.engine.teacher_stage import adapt_all
from foglight.engine.trainer import Plan, fit
from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.models.student_file import save_student
from foglight.provenance import provenance
from foglight.types import Batch

PREFLIGHT_IMAGES: Final = 32
# Where a run happens, how often it logs and saves, and what it is allowed do not make it another run.
NOT_ANOTHER_RUN: Final = {
    "engine": {"device", "log_every", "checkpoint_every", "tensorboard"},
    "data": {"root", "workers", "cache"},
    "preflight": True,
    "allow": True,
}


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

    Raises:
        UserError: for everything that a user can mend.
        KeyboardInterrupt: after Ctrl-C; the same call resumes.
    """
    progress = progress or Silent()
    if config.engine.threads is not None:
        torch.set_num_threads(config.engine.threads)
    expanded = _in_full(config)
    data = data or build_data(expanded.data, seed=expanded.seed)
    for note in data.train.info.notes:
        progress.note(note)
    num_classes = data.train.info.num_classes
    student = student or build_student(expanded, num_classes=num_classes, trust=trust)
    if teacher is None and expanded.teacher is not None:
        teacher = build_model(expanded.teacher, num_classes=None, trust=trust)
    _require_classes("student", student, num_classes)
    teacher_hash = None
    if teacher is not None:
        _require_classes("teacher", teacher, num_classes)
        teacher_hash = network_hash(freeze(teacher))
    requested = _fingerprint(expanded, teacher_hash)
    distiller = _build_distiller(expanded, student, teacher, data)
    distiller.to(_device(expanded))
    for name in distiller.terms.left_out:
        progress.note(f"{name}: weight 0, left out")

    def source(number: int) -> Iterator[Batch]:
        return _on_device(micro_batches(data, expanded.data, 0, number), distiller)

    expanded = _settle_budget(expanded, output, requested, distiller, source, progress)
    _preflight(expanded, output, distiller, data, progress)
    adapt_all(distiller, source, folder=output, key=_adaptation_key(expanded, teacher_hash), progress=progress)
    distiller.total_steps = budget_steps(expanded.budget, images_per_step=1, seconds_per_step=None)
    plan = _plan(expanded, output, requested, data, distiller.total_steps)
    start = time.perf_counter()
    fitted = fit(distiller, plan, progress=progress)
    seconds = time.perf_counter() - start
    student.load_state_dict(fitted.state)
    student.eval()
    distiller.to(_device(expanded))
    scores = _score(student, data, expanded)
    teacher_scores = None if teacher is None else _score(teacher, data, expanded)
    _keep(student, output, data, expanded, scores, teacher_scores, steps=fitted.step)
    return RunResult(output, scores, teacher_scores, fitted.step, seconds, student)


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


def _fingerprint(config: RunConfig, teacher_hash: str | None) -> str:
    content = config.model_dump(mode="json", exclude=NOT_ANOTHER_RUN)
    content["teacher_hash"] = teacher_hash
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _build_distiller(config: RunConfig, student: Network, teacher: Network | Ensemble | None, data: Data) -> Distiller:
    if config.engine.fast:
        student = student.to(memory_format=torch.channels_last)
        teacher = fast_teacher(teacher, half=True) if isinstance(teacher, Network) else teacher
    specs = build_specs(config.losses, seed=config.seed, train=data.train)
    try:
        return Distiller(student, teacher, specs, seed=config.seed, ignore_index=data.train.info.ignore_index)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="name a `--teacher`, or a method that needs none") from error


def _settle_budget(
    config: RunConfig, output: Path, requested: str, distiller: Distiller, source: Batches, progress: Progress
) -> RunConfig:
    """The recipe with its budget in steps, measured once and then read back; writes config.yaml and run.json."""
    path = output / "run.json"
    if path.exists():
        known = json.loads(path.read_text())
        if known["requested"] != requested:
            raise CheckpointError(
                f"{output}: holds a run with another configuration or another teacher",
                remedy="choose another `--output`, or delete that folder to start afresh",
            )
        steps, seconds = known["steps"], known["seconds_per_step"]
    else:
        seconds = None
        if config.budget.seconds is not None:
            progress.note("measuring a step, to turn seconds into steps")
            seconds = measured_step(distiller, source, config)
        images = config.data.batch_size * config.optim.accumulate
        steps = budget_steps(config.budget, images_per_step=images, seconds_per_step=seconds)
    settled = config.model_copy(update={"budget": BudgetConfig(steps=steps)})
    if not path.exists():
        text = dump_config(settled)
        write_atomically(output / "config.yaml", lambda file: file.write(text.encode()))
        content = {"requested": requested, "steps": steps, "seconds_per_step": seconds, **provenance()}
        write_json(path, content)
    return settled


def _preflight(config: RunConfig, output: Path, distiller: Distiller, data: Data, progress: Progress) -> None:
    check_dropout(distiller, config.allow)
    path = output / "preflight.json"
    if not config.preflight or path.exists():
        return
    progress.note("preflight")
    batch = next(_on_device(micro_batches(data, config.data, 0, 1), distiller))
    checks = check_terms(distiller, batch, config.allow)
    teacher_miou = untrained_miou = None
    if distiller.teacher is not None and distiller.terms.requires.teacher:
        frames = max(PREFLIGHT_IMAGES // config.data.batch_size, 1)
        names = data.tune.info.class_names
        for network in (distiller.teacher, distiller.student):
            batches = _on_device(islice(whole_images(data.tune, config.data), frames), distiller)
            scores = evaluate(network, batches, class_names=names, boundary=False)
            teacher_miou, untrained_miou = (
                (scores.miou, None) if network is distiller.teacher else (teacher_miou, scores.miou)
            )
        check_teacher(teacher_miou, untrained_miou, data.train.info.num_classes, config.allow)
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


def _adaptation_key(config: RunConfig, teacher_hash: str | None) -> str:
    # Arms that differ in the student, the optimiser or the budget share an adaptation.
    content = config.model_dump(mode="json", include={"seed", "losses", "data"})
    return hashlib.sha256(json.dumps([content, teacher_hash], sort_keys=True).encode()).hexdigest()


def _plan(config: RunConfig, output: Path, fingerprint: str, data: Data, steps: int) -> Plan:
    def score(student: Network) -> Mapping[str, Any]:
        batches = _on_device(whole_images(data.tune, config.data), student)
        scores = evaluate(student, batches, class_names=data.tune.info.class_names, boundary=False).to_dict()
        return {name: value for name, value in scores.items() if value is None or isinstance(value, int | float)}

    return Plan(
        folder=output,
        batches=lambda first, number: micro_batches(data, config.data, first, number),
        total_steps=steps,
        optim=config.optim,
        engine=config.engine,
        seed=config.seed,
        fingerprint=fingerprint,
        score=score if config.engine.evaluate_every else None,
        allow=config.allow,
    )


def _score(network: Network | Ensemble, data: Data, config: RunConfig) -> Mapping[str, Any]:
    batches = _on_device(whole_images(data.report, config.data), network)
    return evaluate(network, batches, class_names=data.report.info.class_names).to_dict()


def _keep(
    student: Network,
    output: Path,
    data: Data,
    config: RunConfig,
    scores: Mapping[str, Any],
    teacher_scores: Mapping[str, Any] | None,
    *,
    steps: int,
) -> None:
    info = data.train.info
    metadata = {
        "class_names": list(info.class_names),
        "palette": [list(colour) for colour in info.palette],
        "trained_on": config.data.name,
        "method": config.method,
        "steps": steps,
    }
    save_student(student, output, metadata=metadata)
    result = {"steps": steps, "student": scores, "teacher": teacher_scores, **provenance()}
    write_json(output / "result.json", result)
