"""One run from a recipe to a run folder: build, check, train, keep the student, score it.

The same recipe into the same folder resumes; another recipe into it is refused. A folder holds `config.yaml` (complete,
resolved), `run.json` (what was asked, measured and found), `metrics.jsonl`, `last.ckpt`, `preflight.json`, and at the
end `student.safetensors`, `student.json` and `result.json`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from foglight.atomic import write_json
from foglight.config.build import Data, micro_batches, whole_images
from foglight.config.schema import RunConfig
from foglight.engine.evaluate import evaluate
from foglight.engine.feature_similarity import feature_similarity
from foglight.engine.measure import measured_step
from foglight.engine.plan import Plan
from foglight.engine.processes import joined
from foglight.engine.progress import Progress, Silent
from foglight.engine.teacher_stage import adapt_all
from foglight.engine.trainer import fit
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.preflight_run import notes, preflight, require_sound
from foglight.preflight_words import in_short
from foglight.preparation import Prepared, device_of, in_full, on_device, prepare
from foglight.report.refined_maps import write_refined_maps
from foglight.run_folder import adaptation_key, fingerprint, keep_result, settled_steps


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
    config = in_full(config)
    with joined(config.engine) as processes:
        prepared = prepare(
            config,
            processes,
            student=student,
            teacher=teacher,
            data=data,
            trust=trust,
            adapted=output.parent / "adapted",
            progress=progress if processes.leads else None,
        )
        return _run(prepared, output, progress if progress is not None and processes.leads else Silent())


def _run(prepared: Prepared, output: Path, progress: Progress) -> RunResult:
    config, data, student, distiller = prepared.config, prepared.data, prepared.student, prepared.distiller
    for note in notes(prepared):
        progress.note(note)
    steps = _before_training(prepared, output, progress)
    resumed = (output / "last.ckpt").exists()
    start = time.perf_counter()
    fitted = fit(distiller, _plan(prepared, output, steps), progress=progress)
    seconds = time.perf_counter() - start
    student.load_state_dict(fitted.state)
    student.eval()
    distiller.to(device_of(config))
    scores = _score(student, prepared)
    teacher_scores = None if prepared.teacher is None else _score(prepared.teacher, prepared)
    if prepared.processes.leads:
        info = data.train.info
        keep_result(
            student,
            output,
            config,
            info,
            steps=fitted.step,
            scores=scores,
            teacher_scores=teacher_scores,
            seconds=None if resumed else seconds,
        )
        write_refined_maps(distiller, next(on_device(whole_images(data.tune, config.data), distiller)), output)
    return RunResult(output, scores, teacher_scores, fitted.step, seconds, student)


def _before_training(prepared: Prepared, output: Path, progress: Progress) -> int:
    """Preflight, budget, and the stage that adapts modules on the teacher; returns the number of updates."""
    config, distiller, processes = prepared.config, prepared.distiller, prepared.processes

    def measure() -> float:
        progress.note("measuring a step, to turn seconds into steps")
        return measured_step(distiller, prepared.beginning, config)

    def adapt() -> None:
        # On the whole batches, whatever the number of processes.
        adapt_all(
            distiller,
            lambda number: on_device(micro_batches(prepared.data, config.data, 0, number), distiller),
            folder=output,
            key=adaptation_key(config, prepared.teacher_hash),
            progress=progress,
        )

    # First: a run that is refused leaves nothing behind.
    _preflight(prepared, output, progress)
    steps = settled_steps(config, output, fingerprint(config, prepared.teacher_hash), measure, processes)
    processes.agreed(adapt)
    if not processes.leads:
        # The leader has stored what it adapted.
        adapt()
    distiller.total_steps = steps
    return steps


def _preflight(prepared: Prepared, output: Path, progress: Progress) -> None:
    """Look before the first step of a folder, and keep what was seen there."""
    require_sound(prepared)
    path = output / "preflight.json"
    if not prepared.config.preflight or prepared.processes.agreed(path.exists):
        return
    seen = preflight(prepared, progress=progress)
    for line in in_short(seen):
        progress.note(line)
    if prepared.processes.leads:
        write_json(path, seen.to_dict())


def _plan(prepared: Prepared, output: Path, steps: int) -> Plan:
    config, tune = prepared.config, prepared.data.tune

    def score(student: Network) -> Mapping[str, Any]:
        batches = prepared.frames(tune, student)
        scores = evaluate(student, batches, class_names=tune.info.class_names, boundary=False).to_dict()
        plain = {name: value for name, value in scores.items() if value is None or isinstance(value, int | float)}
        if prepared.teacher is None:
            return plain
        return plain | feature_similarity(student, prepared.teacher, next(prepared.frames(tune, student)))

    return Plan(
        folder=output,
        batches=prepared.stretch,
        total_steps=steps,
        optim=config.optim,
        engine=config.engine,
        seed=config.seed,
        fingerprint=fingerprint(config, prepared.teacher_hash),
        score=score if config.engine.evaluate_every else None,
        allow=config.allow,
        processes=prepared.processes,
    )


def _score(network: Network | Ensemble, prepared: Prepared) -> Mapping[str, Any]:
    report = prepared.data.report
    return evaluate(network, prepared.frames(report, network), class_names=report.info.class_names).to_dict()
