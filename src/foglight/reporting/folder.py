"""What stands in a finished run's folder, checked: a damaged file is one clear line, a missing one is None.

A folder without a student cannot be compared and is refused; without a log, a preflight or a result it still can.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard, final

from foglight.config.load import parse_config
from foglight.config.schema import RunConfig
from foglight.errors import CheckpointError
from foglight.models.student_file import DESCRIPTION, WEIGHTS, read_metadata

CONFIG: Final = "config.yaml"
RESULT: Final = "result.json"
ASKED: Final = "run.json"
PREFLIGHT: Final = "preflight.json"
METRICS: Final = "metrics.jsonl"
_AGAIN: Final = "run the command that made this run again, it takes up where it stands and writes the file anew"


@final
@dataclass(frozen=True)
class StoredRun:
    """A finished run as its folder tells it.

    Attributes:
        folder: where it lies.
        config: the complete recipe.
        text: that recipe as it stands in the folder.
        description: of the student, from `student.json`.
        result: of `result.json`.
        asked: of `run.json`.
        preflight: of `preflight.json`.
        log: records of `metrics.jsonl`.
    """

    folder: Path
    config: RunConfig
    text: str
    description: Mapping[str, Any]
    result: Mapping[str, Any] | None
    asked: Mapping[str, Any] | None
    preflight: Mapping[str, Any] | None
    log: tuple[Mapping[str, Any], ...]


def read_run(folder: Path) -> StoredRun:
    """Read one run folder.

    Raises:
        CheckpointError: if it is none, holds no student yet, or one of its files is damaged.
        ConfigurationError: if its recipe is not one.
    """
    _require_finished(folder)
    text = _text(folder / CONFIG)
    config = parse_config(text, source=str(folder / CONFIG))
    description = read_metadata(folder)
    if not isinstance(description.get("name"), str):
        raise _damaged(folder / DESCRIPTION, "it names no network")
    return StoredRun(
        folder,
        config,
        text,
        description,
        _mapping(folder / RESULT),
        _mapping(folder / ASKED),
        _mapping(folder / PREFLIGHT),
        _log(folder / METRICS),
    )


def stored_scores(run: StoredRun, network: str) -> Mapping[str, Any] | None:
    """What the run itself recorded of its `student` or `teacher`; None where it recorded nothing.

    Raises:
        CheckpointError: if what stands there are no scores.
    """
    scores = None if run.result is None else run.result.get(network)
    if scores is None:
        return None
    classes = scores.get("per_class") if isinstance(scores, dict) else None
    if not isinstance(classes, list) or not {"miou", "reliability"} <= scores.keys():
        raise _damaged(run.folder / RESULT, f"its {network} has no scores of the kind that `foglight evaluate` gives")
    return scores


def _require_finished(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder", remedy="name run folders, which `foglight distill` writes")
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder}: no run folder, {CONFIG} is missing",
            remedy="name the folders of single runs, such as runs/demo/kd",
        )
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: holds no student, {name} is missing",
                remedy="finish the run first: the command that began it goes on from its last checkpoint",
            )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from error


def _mapping(path: Path) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise _damaged(path, f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _damaged(path, f"expected a mapping, got {type(content).__name__}")
    return content


def _log(path: Path) -> tuple[Mapping[str, Any], ...]:
    if not path.exists():
        return ()
    records: list[Mapping[str, Any]] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _damaged(path, f"line {number} is cut short or no JSON") from error
        if not isinstance(record, dict) or not isinstance(record.get("step"), int) or "kind" not in record:
            raise _damaged(path, f"line {number} has no step and kind")
        records.append(record)
    return tuple(records)


def is_figure(value: Any) -> TypeGuard[int | float]:
    """Whether a logged value can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path}: damaged, {why}", remedy=_AGAIN)
