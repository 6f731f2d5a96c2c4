"""Who plays what in a report: teachers, the student alone, and the runs that are compared; and whether they may be.

The baseline is the first run without a teacher of a network that another run distils, or the one that is named. A run
folder that taught another run of the report is shown as its teacher.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.config.schema import ModelConfig, RunConfig
from foglight.errors import ConfigurationError
from foglight.reporting.folder import StoredRun, read_run

# What fixes the frames that are scored; where they lie and how they are batched does not.
SAME_DATA: Final = ("name", "options", "split", "size")
# What the comparison is about, and what cannot change a result, is no difference worth a note.
EXPECTED: Final = {
    "teacher": True,
    "method": True,
    "losses": True,
    "preflight": True,
    "allow": True,
    "engine": {"log_every", "checkpoint_every", "evaluate_every", "tensorboard"},
    "data": {"root", "workers", "cache"},
}


@final
@dataclass(frozen=True)
class Teacher:
    """A teacher that some runs name.

    Attributes:
        title: unique in the report.
        model: as the recipe names it, with the path where it was found.
        folder: of its own run, where it is a run folder.
        pupils: titles of the runs that it taught.
    """

    title: str
    model: ModelConfig
    folder: Path | None
    pupils: tuple[str, ...]


@final
@dataclass(frozen=True)
class Cast:
    """The runs of a report by title, in its order.

    Attributes:
        teachers: in order of appearance.
        baseline: title of the student alone; None without one.
        runs: the baseline first, then the others as they were named; without those that only teach.
    """

    teachers: tuple[Teacher, ...]
    baseline: str | None
    runs: Mapping[str, StoredRun]


def read_cast(folders: Sequence[Path], *, baseline: Path | None, same_data: bool) -> Cast:
    """Read the folders and give everybody a part.

    Args:
        folders: of the runs.
        baseline: of the run that differences are taken from; None looks for one.
        same_data: whether the runs' own data must agree; not needed where other data are named.

    Raises:
        CheckpointError: for a folder that holds no finished run.
        ConfigurationError: if there is no run, or they cannot be compared.
    """
    if not folders:
        raise ConfigurationError("expected at least one run folder, got none", remedy="name finished run folders")
    named = {folder.resolve(): folder for folder in (*folders, *([] if baseline is None else [baseline]))}
    runs = {path: read_run(folder) for path, folder in named.items()}
    titles = dict(zip(runs, _titles([run.folder for run in runs.values()]), strict=True))
    taught_by = {path: _located(run) for path, run in runs.items() if run.config.teacher is not None}
    teaching = {path for path, _ in taught_by.values() if path is not None}
    chosen = _baseline(runs, teaching, None if baseline is None else baseline.resolve())
    students = [path for path in runs if path not in teaching or path == chosen]
    students = [*([] if chosen is None else [chosen]), *(path for path in students if path != chosen)]
    _require_comparable([runs[path] for path in students], same_data=same_data)
    return Cast(
        tuple(_teachers(taught_by, titles, chosen)),
        None if chosen is None else titles[chosen],
        {titles[path]: runs[path] for path in students},
    )


def other_differences(run: RunConfig, baseline: RunConfig) -> list[str]:
    """What differs between two recipes beside teacher and losses: the comparison is not about that.

    >>> one = RunConfig(student=ModelConfig(name="lite_s"))
    >>> other_differences(one.model_copy(update={"seed": 1, "method": "kd"}), one)
    ['seed 1 instead of 0']
    """
    first, second = (dict(_flat(config.model_dump(mode="json", exclude=EXPECTED))) for config in (run, baseline))
    keys = [*first, *(key for key in second if key not in first)]
    return [
        f"{key} {_said(first.get(key))} instead of {_said(second.get(key))}"
        for key in keys
        if (first.get(key) or None) != (second.get(key) or None)
    ]


def _titles(folders: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart."""
    paths = [folder.resolve() for folder in folders]
    depths = [1] * len(paths)
    while True:
        titles = ["/".join(path.parts[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        often = Counter(titles)
        clashing = [index for index, title in enumerate(titles) if often[title] > 1]
        if not clashing:
            return titles
        for index in clashing:
            depths[index] += 1


def _located(run: StoredRun) -> tuple[Path | None, ModelConfig]:
    """The teacher as a recipe names it; a relative path is looked for here and beside the run, wherever that lies."""
    teacher = run.config.teacher
    if teacher is None:
        raise ValueError(f"expected a teacher in {run.folder}, got none")
    folder = run.folder.resolve()
    for start in (Path.cwd(), folder, *folder.parents):
        path = start / teacher.name
        if path.exists():
            return path.resolve(), teacher.model_copy(update={"name": str(path)})
    return None, teacher


def _teachers(
    taught_by: Mapping[Path, tuple[Path | None, ModelConfig]], titles: Mapping[Path, str], baseline: Path | None
) -> Iterator[Teacher]:
    pupils: dict[str, list[Path]] = {}
    for run, (path, model) in taught_by.items():
        # What is left out, none or false says the same in recipes of different versions.
        content = {key: value for key, value in model.model_dump(mode="json").items() if value and key != "name"}
        content |= {"name": str(path or model.name), "align_corners": model.align_corners}
        pupils.setdefault(json.dumps(content, sort_keys=True), []).append(run)
    taken = set(titles.values())
    for runs in pupils.values():
        path, model = taught_by[runs[0]]
        # A baseline that is a teacher too (self-distillation) has a column of each kind.
        known = titles.get(path) if path is not None and path != baseline else None
        title = known or _free(Path(model.name).name or model.name, taken)
        taken.add(title)
        own = path if path is not None and path.is_dir() else None
        yield Teacher(title, model, own, tuple(titles[run] for run in runs))


def _free(name: str, taken: set[str]) -> str:
    candidates = (name, f"{name} (teacher)", *(f"{name} (teacher {number})" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _baseline(runs: Mapping[Path, StoredRun], teaching: set[Path], named: Path | None) -> Path | None:
    if named is not None:
        return named
    distilled = {_network(run.config) for run in runs.values() if run.config.teacher is not None}
    alone = (path for path, run in runs.items() if run.config.teacher is None and path not in teaching)
    return next((path for path in alone if _network(runs[path].config) in distilled), None)


def _network(config: RunConfig) -> str:
    return json.dumps([config.student.name, config.student.options], sort_keys=True)


def _require_comparable(runs: Sequence[StoredRun], *, same_data: bool) -> None:
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = first.description.get("class_names"), run.description.get("class_names")
        if ours != theirs:
            raise ConfigurationError(
                f"{run.folder} and {first.folder} have different classes: {_classes(theirs)} against {_classes(ours)}",
                remedy="compare runs on the same classes",
            )
        for key in SAME_DATA if same_data else ():
            one, other = (getattr(each.config.data, key) for each in (first, run))
            if one != other:
                raise ConfigurationError(
                    f"{run.folder} and {first.folder} were scored on different data: data.{key} is {_said(other)} "
                    f"against {_said(one)}",
                    remedy="compare runs on the same data, or name the data to score all of them on by `--data`",
                )


def _classes(names: Any) -> str:
    return f"{len(names)} ({', '.join(map(str, names[:4]))}, ...)" if isinstance(names, list) else "unnamed ones"


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(content, dict) or not content:
        yield prefix, content
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
