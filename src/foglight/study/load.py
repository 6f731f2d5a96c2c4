"""From a study file to the recipes of all its runs: every mistake is found before anything is trained."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from pydantic import BaseModel, ValidationError

from foglight.config.load import build_config, find_recipe
from foglight.config.mistakes import Mistake, configuration_error, suggestion, validation_mistakes
from foglight.config.schema import DataConfig, ModelConfig, RunConfig
from foglight.config.yaml_text import read_yaml
from foglight.data.groups import Part
from foglight.errors import ConfigurationError
from foglight.study.schema import (
    MAIN_METRIC,
    REPORT,
    ArmConfig,
    EvaluationConfig,
    NetworkRecipe,
    StudyConfig,
    TeacherConfig,
)

# Sections that hold a mapping by name; pydantic's own places would not lead to a did-you-mean below them.
_BY_NAME: Final[Mapping[str, type[BaseModel]]] = {
    "arms": ArmConfig,
    "teachers": TeacherConfig,
    "evaluations": EvaluationConfig,
}
# What an arm says by keys of its own, so that the study knows it.
_NOT_BY_SET: Final = ("seed", "method", "losses", "teacher", "data.pseudo_labels")


@final
@dataclass(frozen=True)
class PlannedPart:
    """A part on which networks are scored.

    Attributes:
        data: where it comes from.
        part: which part of it.
        note: what a reader must be told.
    """

    data: DataConfig
    part: Part
    note: str | None


@final
@dataclass(frozen=True)
class Planned:
    """A study with every recipe written out.

    Teachers stand in the arms' recipes by their names; `placed` puts their folders there.

    Attributes:
        study: as its file says.
        file: where it was read.
        teachers: recipe by name.
        arms: recipe by name, for the first seed; a matched arm's budget is still the recipe's.
        parts: by name; the run's own report part first.
    """

    study: StudyConfig
    file: Path
    teachers: Mapping[str, RunConfig]
    arms: Mapping[str, RunConfig]
    parts: Mapping[str, PlannedPart]


def load_study(file: Path, *, root: Path | None = None) -> Planned:
    """The study that a file describes.

    Args:
        file: YAML.
        root: where the data lies; replaces what the recipes say.

    Raises:
        ConfigurationError: listing every mistake of the file; or the first recipe that is wrong, by its arm.
    """
    study = _read(file)
    mistakes = _unknown_names(study)
    if mistakes:
        raise configuration_error(str(file), mistakes)
    last = {} if root is None else {"data.root": str(root)}

    def recipe(place: str, base: NetworkRecipe, arm: ArmConfig, seed: int, changes: Mapping[str, Any]) -> RunConfig:
        changes = {**study.set, **base.set, **changes, **last}
        source = f"{file}: {place}"
        try:
            return _recipe(source, _found(base.recipe, file.parent), arm, seed=seed, changes=changes)
        except ConfigurationError as error:
            if error.problem.startswith(source):
                raise
            raise ConfigurationError(f"{source}: {error.problem}", remedy=error.remedy) from error

    teachers = {
        name: recipe(f"teachers.{name}", teacher, ArmConfig(method=teacher.method), teacher.seed, {})
        for name, teacher in study.teachers.items()
    }
    arms = {
        name: recipe(f"arms.{name}", study.student, arm, study.seeds[0], arm.set) for name, arm in study.arms.items()
    }
    parts = {REPORT: PlannedPart(next(iter(arms.values())).data, "report", None)}
    for name, given in study.evaluations.items():
        config = recipe(f"evaluations.{name}", study.student, ArmConfig(method="ce"), 0, given.set)
        parts[name] = PlannedPart(config.data, given.part, given.note)
    return Planned(study, file, teachers, arms, parts)


def placed(config: RunConfig, teachers: Path) -> RunConfig:
    """The recipe with the folders of its teachers in place of their names."""
    teacher = config.teacher and config.teacher.model_copy(update={"name": str(teachers / config.teacher.name)})
    labels = config.data.pseudo_labels and str(teachers / config.data.pseudo_labels)
    data = config.data.model_copy(update={"pseudo_labels": labels})
    return config.model_copy(update={"teacher": teacher, "data": data})


def _read(file: Path) -> StudyConfig:
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{file}: expected a mapping (key: value), got {type(content).__name__}",
            remedy="write a study as in results/camvid/study.yaml",
        )
    mistakes = [mistake for section, model in _BY_NAME.items() for mistake in _below(section, content, model)]
    try:
        study = StudyConfig.model_validate(content)
    except ValidationError as error:
        named = {".".join(mistake.place.split(".")[:2]) for mistake in mistakes}
        # Below an arm that is wrong pydantic reports the same mistakes once more, with less to say.
        mistakes += [
            mistake
            for mistake in validation_mistakes(error, content, StudyConfig)
            if ".".join(mistake.place.split(".")[:2]) not in named
        ]
        raise configuration_error(str(file), mistakes) from error
    return study


def _below(section: str, content: Mapping[str, Any], model: type[BaseModel]) -> list[Mistake]:
    entries = content.get(section)
    mistakes: list[Mistake] = []
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        try:
            model.model_validate(entry)
        except ValidationError as error:
            for mistake in validation_mistakes(error, entry, model):
                place = "" if mistake.place == "the recipe" else f".{mistake.place}"
                mistakes.append(Mistake(f"{section}.{name}{place}", mistake.problem))
    return mistakes


def _unknown_names(study: StudyConfig) -> list[Mistake]:
    mistakes: list[Mistake] = []

    def known(place: str, name: str | None, names: Iterable[str], kind: str) -> None:
        if name is not None and name not in names:
            mistakes.append(Mistake(place, f"there is no {kind} {name!r}{suggestion(name, names)}"))

    for name, arm in study.arms.items():
        known(f"arms.{name}.teacher", arm.teacher, study.teachers, "teacher")
        known(f"arms.{name}.pseudo_labels", arm.pseudo_labels, study.teachers, "teacher")
        known(f"arms.{name}.match_time_of", arm.match_time_of, study.arms, "arm")
        other = study.arms.get(arm.match_time_of or "")
        if other is not None and other.match_time_of is not None:
            mistakes.append(
                Mistake(
                    f"arms.{name}.match_time_of", f"{arm.match_time_of!r} is matched itself; name an arm with steps"
                )
            )
        mistakes += [
            Mistake(f"arms.{name}.set", f"{key} is not for `set`; write `{key.removeprefix('data.')}:` of the arm")
            for key in arm.set
            if key in _NOT_BY_SET
        ]
    for index, comparison in enumerate(study.comparisons):
        known(f"comparisons.{index}.arm", comparison.arm, study.arms, "arm")
        known(f"comparisons.{index}.against", comparison.against, study.arms, "arm")
        if comparison.arm == comparison.against:
            mistakes.append(Mistake(f"comparisons.{index}", f"compares {comparison.arm!r} with itself"))
    for key, values in (("seeds", study.seeds), ("metrics", study.metrics)):
        if len(set(values)) < len(values):
            mistakes.append(Mistake(key, f"expected each once, got {list(values)}"))
    for key, entries in (("seeds", study.seeds), ("arms", study.arms)):
        if not entries:
            mistakes.append(Mistake(key, "expected at least one"))
    if MAIN_METRIC not in study.metrics:
        mistakes.append(Mistake("metrics", f"expected {MAIN_METRIC} among them: verdicts are about it"))
    if REPORT in study.evaluations:
        mistakes.append(Mistake(f"evaluations.{REPORT}", "is there already: the report part of the student's own data"))
    return mistakes


def _found(recipe: str, folder: Path) -> str:
    """A recipe beside the study file, or as `foglight train` would find it."""
    beside = folder / recipe
    return str(beside) if beside.is_file() else recipe


def _recipe(source: str, recipe: str, arm: ArmConfig, *, seed: int, changes: Mapping[str, Any]) -> RunConfig:
    content = read_yaml(find_recipe(recipe))
    if not isinstance(content, dict):
        raise ConfigurationError(f"{recipe}: expected a mapping (key: value)", remedy="name a recipe")
    kept = {key: value for key, value in content.items() if key not in ("method", "losses", "teacher")}
    # One thread: two runs at a time must not share a core, and one at a time must give the same figures.
    kept["engine"] = {"threads": 1, **(kept.get("engine") or {})}
    objective = {"method": arm.method} if arm.losses is None else {"losses": [loss.model_dump() for loss in arm.losses]}
    if arm.pseudo_labels is not None:
        changes = {**changes, "data.pseudo_labels": arm.pseudo_labels}
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    config = build_config({**kept, **objective}, overrides, source=source)
    if config.budget.seconds is not None:
        raise ConfigurationError(
            f"{source}: budget: expected steps or samples, got seconds",
            remedy="give steps, and `match_time_of` to the arms that are trained as long as another",
        )
    teacher = None if arm.teacher is None else ModelConfig(name=arm.teacher)
    return config.model_copy(update={"seed": seed, "teacher": teacher})
