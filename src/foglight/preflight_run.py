"""The preflight of a run: what it is made of, whether it would learn anything, and what it will cost.

Nothing that is trained is changed by it, nor any random stream: a run with and without it gives the same student.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from foglight.config.build import Data
from foglight.config.schema import ModelConfig, RunConfig
from foglight.data.image_modes import mode_notes
from foglight.data.layers import cache_of, image_files
from foglight.engine.budget import budget_steps
from foglight.engine.evaluate import evaluate
from foglight.engine.preflight import check_batch, check_class_order, check_dropout, check_teacher, check_terms
from foglight.engine.preflight_cost import StepCost, step_cost
from foglight.engine.preflight_record import Cost, Preflight
from foglight.engine.preflight_tables import NetworkFacts, connector_rows, network_facts, tap_rows
from foglight.engine.processes import joined
from foglight.engine.progress import Progress, Silent
from foglight.losses.base import AdversarialLoss, TeacherAdapted
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.models.student_file import is_student, read_metadata
from foglight.preparation import Prepared, in_full, prepare
from foglight.run_folder import fingerprint, settled_steps

PREFLIGHT_IMAGES: Final = 32


def plan(config: RunConfig, output: Path, *, trust: bool = False, progress: Progress | None = None) -> Preflight:
    """The preflight alone: trains nothing and writes nothing.

    Args:
        config: of the run.
        output: the folder that the run would go to.
        trust: load pickled checkpoints.
        progress: is told what is done.

    Raises:
        UserError: where the run would be refused.
    """
    config = in_full(config)
    with joined(config.engine) as processes:
        prepared = prepare(config, processes, trust=trust)
        _require_own_folder(prepared, output)
        require_sound(prepared)
        finetune = None if config.teacher is None else config.teacher.finetune
        seen = preflight(prepared, progress=progress, teacher_is_ready=finetune is None)
    if finetune is None:
        return seen
    pending = f"teacher: finetuned on the data for {finetune.steps} steps before the run, here as it stands before that"
    return replace(seen, notes=(*seen.notes, pending))


def _require_own_folder(prepared: Prepared, output: Path) -> None:
    if prepared.processes.agreed((output / "run.json").exists):
        requested = fingerprint(prepared.config, prepared.teacher_hash)
        # The folder's budget is settled, so nothing is measured or written.
        settled_steps(prepared.config, output, requested, lambda: math.nan, prepared.processes)


def require_sound(prepared: Prepared) -> None:
    """What is refused even with `--no-preflight`, because it costs nothing to see.

    Raises:
        RefusedError: `no-dropout`, `few-images` or `few-classes`.
    """
    config, distiller = prepared.config, prepared.distiller
    images = config.data.batch_size // prepared.processes.count
    check_dropout(distiller, config.allow)
    check_batch(distiller, images, prepared.data.train.info.num_classes, config.allow)


def preflight(prepared: Prepared, *, progress: Progress | None = None, teacher_is_ready: bool = True) -> Preflight:
    """Look at everything; all processes of a run come here together.

    Args:
        prepared: the run.
        progress: is told that it begins.
        teacher_is_ready: False where it will be finetuned first, so that its score says nothing yet.

    Raises:
        RefusedError: for a run that would distil nothing.
    """
    (progress or Silent()).note("preflight")
    config, distiller = prepared.config, prepared.distiller
    _check_class_names(prepared)
    batch = next(prepared.beginning(1))
    terms = check_terms(distiller, batch, config.allow)
    teacher_miou, untrained_miou = _scores(prepared)
    if teacher_is_ready:
        check_teacher(teacher_miou, untrained_miou, prepared.data.train.info.num_classes, config.allow)
    student, teacher = prepared.student, prepared.teacher
    return Preflight(
        student=_facts(student, config.student),
        teacher=None if teacher is None else _facts(teacher, config.teacher),
        taps=tap_rows(distiller, batch),
        connectors=connector_rows(distiller),
        terms=tuple(terms),
        teacher_miou=teacher_miou,
        untrained_student_miou=untrained_miou,
        active_dropouts=student.active_dropouts(),
        mc_dropout=bool(distiller.terms.requires.student_sigma),
        cost=_cost(prepared),
        notes=tuple(notes(prepared)),
        allowed=config.allow,
    )


def _facts(network: Network | Ensemble, config: ModelConfig | None) -> NetworkFacts:
    return network_facts(network, weights_source=loaded_from(config, network))


def loaded_from(config: ModelConfig | None, network: Network | Ensemble) -> str:
    """Where a network's weights come from; loading is strict, so every key has found its place."""
    if isinstance(network, Ensemble):
        return "; ".join(f"{member.name}: {member.weights_source}" for member in network.members)
    if config is None or not is_student(Path(config.name)):
        return network.weights_source
    described = read_metadata(Path(config.name))
    keys = len(network.module.state_dict())
    return (
        f"{config.name} (sha256 {described['sha256'][:12]}, {keys} keys, every one of them fits); "
        f"first weights: {network.weights_source}"
    )


def notes(prepared: Prepared) -> Iterator[str]:
    """What a person should know before the first step."""
    data, config, distiller = prepared.data, prepared.config, prepared.distiller
    yield from data.train.info.notes
    for part in (data.train, data.stream.unlabelled):
        if part is not None:
            yield from mode_notes(image_files(part))
    cached = cache_bytes(data)
    if cached:
        yield f"cache: decoded frames will take {cached / 1e6:.0f} MB of memory"
    yield f"student {prepared.student.name}: {loaded_from(config.student, prepared.student)}"
    teacher = prepared.teacher
    if teacher is not None:
        yield f"teacher {teacher.name}: {loaded_from(config.teacher, teacher)}"
        yield from _reconciled(prepared.student, teacher)
    for name in distiller.terms.left_out:
        yield f"{name}: weight 0, left out"
    for loss in distiller.terms.modules():
        if isinstance(loss, TeacherAdapted) and loss.adapt_steps > 0:
            yield f"{type(loss).__name__}: the teacher is adapted for {loss.adapt_steps} steps first, beside the budget"
        if isinstance(loss, AdversarialLoss):
            yield f"{type(loss).__name__}: its discriminator's own updates are not in the estimated time"


def _reconciled(student: Network, teacher: Network | Ensemble) -> Iterator[str]:
    taught = teacher.members if isinstance(teacher, Ensemble) else [teacher]
    if any(member.normalisation != student.normalisation for member in taught):
        yield "student and teacher normalise differently, each inside itself: both see images in [0, 1]"


def _check_class_names(prepared: Prepared) -> None:
    """Of one teacher: the members of an ensemble have been given the data's classes by whoever made it."""
    teacher = prepared.teacher
    if isinstance(teacher, Network):
        classes = prepared.data.train.info.class_names
        check_class_order(teacher.class_names, classes, teacher.name, prepared.config.allow)


def _scores(prepared: Prepared) -> tuple[float | None, float | None]:
    """The teacher's and the untrained student's mIoU on a slice of the tune part."""
    config, distiller, tune = prepared.config, prepared.distiller, prepared.data.tune
    if distiller.teacher is None or not distiller.terms.requires.teacher:
        return None, None
    number = max(PREFLIGHT_IMAGES // config.data.batch_size, 1)
    names = tune.info.class_names
    found: list[float | None] = []
    for network in (distiller.teacher, distiller.student):
        batches = islice(prepared.frames(tune, distiller), number)
        found.append(evaluate(network, batches, class_names=names, boundary=False).miou)
    return found[0], found[1]


def _cost(prepared: Prepared) -> Cost:
    config = prepared.config
    measured: StepCost = step_cost(prepared.distiller, prepared.beginning, config, prepared.processes)
    images = config.data.batch_size * config.optim.accumulate
    steps = budget_steps(config.budget, images_per_step=images, seconds_per_step=max(measured.seconds, 1e-9))
    return Cost(
        seconds_per_step=measured.seconds,
        wall_seconds_per_step=measured.wall_seconds,
        teacher_share=measured.teacher_share,
        steps=steps,
        eta_seconds=steps * measured.wall_seconds,
        peak_memory_bytes=measured.peak_memory_bytes,
        memory_is=measured.memory_is,
        cache_bytes=cache_bytes(prepared.data),
    )


def cache_bytes(data: Data) -> int:
    """Of all decoded frames, once every part has been read; 0 without a cache."""
    parts = (data.train, data.tune, data.report, data.stream.unlabelled)
    caches = [cache_of(part) for part in parts if part is not None]
    # Labelled and unlabelled frames may come from one cache.
    return sum(cache.expected_nbytes for cache in {id(cache): cache for cache in caches}.values() if cache is not None)
