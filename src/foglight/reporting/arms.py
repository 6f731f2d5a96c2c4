"""One network of a report as measured: loaded, scored raw and with a temperature, its classes in the frames shown.

What cannot be loaded (a network given as an object in Python, a teacher that is not there any more) keeps the figures
that its run recorded, and says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

from torch import Tensor

from foglight.config.build import build_model, build_teacher
from foglight.config.schema import ModelConfig
from foglight.engine.calibrate import RawAndScaled
from foglight.engine.cost import parameter_count
from foglight.errors import CheckpointError, UserError
from foglight.models.network import Network
from foglight.report.records import Arm, Role
from foglight.reporting import stored
from foglight.reporting.cast import Cast, Teacher, other_differences
from foglight.reporting.folder import StoredRun, read_run, stored_scores
from foglight.reporting.scene import Scene, predicted_masks, score

# A score that moved by more than this since the run recorded it was made of something else.
SAME_MIOU: Final = 1e-3
_NOT_SCORED_AGAIN: Final = "its figures are those that its run recorded, without a temperature and without pictures"


@final
@dataclass(frozen=True)
class Seen:
    """One network as measured.

    Attributes:
        arm: its figures.
        masks: its classes in each of the chosen frames; empty where it could not be loaded.
    """

    arm: Arm
    masks: tuple[Tensor, ...]


@final
@dataclass(frozen=True)
class Loader:
    """How networks are loaded and what they are held against.

    Attributes:
        trust: whether a pickled teacher may be loaded.
        own_data: whether the runs are scored on their own data, so that their records can be compared.
        device: where networks run.
        class_names: of the data.
    """

    trust: bool
    own_data: bool
    device: str
    class_names: tuple[str, ...]

    def student(self, run: StoredRun) -> Network:
        """Of a run folder."""
        return build_model(ModelConfig(name=str(run.folder)), num_classes=None).to(self.device).eval()

    def teacher(self, teacher: Teacher) -> Network:
        """As the recipes of its pupils name it, on the classes of the data.

        Raises:
            UserError: if it cannot be loaded, or was finetuned inside a run, which keeps no such network.
        """
        if teacher.model.finetune is not None:
            raise CheckpointError(
                f"{teacher.model.name}: was finetuned inside the run", remedy="finetune it in a run of its own"
            )
        network = build_teacher(teacher.model, class_names=self.class_names, seed=0, trust=self.trust)
        return network.to(self.device).eval()


def seen_student(title: str, run: StoredRun, cast: Cast, scene: Scene, loader: Loader) -> Seen:
    """A student of a run folder."""
    arm = _arm_of_run(title, run, _role(title, run, cast))
    teacher = next((each.title for each in cast.teachers if title in each.pupils), None)
    arm = replace(arm, teacher=teacher, notes=tuple(_unlike(title, run, cast)))
    if run.description.get("builder") is None:
        why = f"{arm.network} was given as an object in Python and cannot be built again"
        return _from_record(arm, stored_scores(run, "student"), why)
    network = loader.student(run)
    recorded = stored_scores(run, "student") if loader.own_data else None
    return _measured(arm, network, scene, recorded)


def seen_teacher(teacher: Teacher, cast: Cast, scene: Scene, loader: Loader) -> Seen:
    """A teacher that some runs name."""
    own = own_run(teacher)
    if own is None:
        arm = Arm(teacher.title, "teacher", teacher.model.name)
    else:
        arm = _arm_of_run(teacher.title, own, "teacher")
    pupil = cast.runs.get(teacher.pupils[0])
    recorded = None if pupil is None or not loader.own_data else stored_scores(pupil, "teacher")
    try:
        network = loader.teacher(teacher)
    except UserError as error:
        return _from_record(arm, recorded, f"the teacher could not be loaded ({error.problem})")
    return _measured(replace(arm, network=network.name), network, scene, recorded)


def own_run(teacher: Teacher) -> StoredRun | None:
    """The teacher's own run folder; None where it is a file or a name, or its folder is no whole run any more."""
    if teacher.folder is None:
        return None
    try:
        return read_run(teacher.folder)
    except UserError:
        return None


def _measured(arm: Arm, network: Network, scene: Scene, recorded: Mapping[str, Any] | None) -> Seen:
    scores = score(network, scene)
    notes = [*arm.notes, *_moved(scores, recorded)]
    if scores.refused is not None:
        notes.append(f"no temperature: {scores.refused}")
    arm = replace(
        arm,
        parameters=parameter_count(network),
        raw=scores.raw.to_dict(),
        scaled=None if scores.scaled is None else scores.scaled.to_dict(),
        temperature=None if scores.temperature is None else scores.temperature.value,
        notes=tuple(notes),
    )
    return Seen(arm, predicted_masks(network, scene))


def _moved(scores: RawAndScaled, recorded: Mapping[str, Any] | None) -> Iterator[str]:
    before, now = None if recorded is None else recorded.get("miou"), scores.raw.miou
    if before is not None and now is not None and abs(before - now) > SAME_MIOU:
        yield (
            f"its mIoU was recorded as {100 * before:.1f} % and is {100 * now:.1f} % now: the files or the data are "
            "not what they were"
        )


def _from_record(arm: Arm, recorded: Mapping[str, Any] | None, why: str) -> Seen:
    what = _NOT_SCORED_AGAIN if recorded is not None else "it has no figures"
    return Seen(replace(arm, raw=recorded, notes=(*arm.notes, f"{why}; {what}")), ())


def _arm_of_run(title: str, run: StoredRun, role: Role) -> Arm:
    return Arm(
        title,
        role,
        run.description["name"],
        method=run.config.method,
        seed=run.config.seed,
        steps=run.description.get("steps"),
        seconds=stored.seconds(run),
        seconds_per_step=stored.seconds_per_step(run),
        budget=stored.budget(run),
        teacher_share=stored.teacher_share(run),
    )


def _role(title: str, run: StoredRun, cast: Cast) -> Role:
    if title == cast.baseline:
        return "baseline"
    return "trained" if run.config.teacher is None else "distilled"


def _unlike(title: str, run: StoredRun, cast: Cast) -> Iterator[str]:
    """What makes the difference to the baseline more than a difference of losses."""
    if cast.baseline is None or title == cast.baseline:
        return
    others = other_differences(run.config, cast.runs[cast.baseline].config)
    if others:
        yield f"differs from {cast.baseline} beyond teacher and losses: {'; '.join(others)}"
