"""What a study fixes before its first run: the file, every recipe, the measured steps; and the refusal of another one.

The hash is over the study and all recipes, complete; where data lies, how often a run logs and what the preflight lets
pass do not belong to it. The folder of a study then holds

    study.yaml   the study as it was given           fixed.json   its hash, the measured seconds, the settled steps
    teachers/NAME, runs/ARM/seedN   run folders      study.json, table.md   what came out
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.atomic import write_atomically, write_json
from foglight.config.schema import BudgetConfig, RunConfig
from foglight.engine.progress import Progress
from foglight.errors import CheckpointError
from foglight.provenance import provenance
from foglight.run_folder import NOT_ANOTHER_RUN
from foglight.study.load import Planned
from foglight.study.timing import measured_arms, settled_budgets

FIXED: Final = "fixed.json"
TEACHERS: Final = "teachers"
RUNS: Final = "runs"


@final
@dataclass(frozen=True)
class Fixed:
    """What may not change any more.

    Attributes:
        digest: of the study and all its recipes.
        seconds_per_step: by arm, as measured before the first run.
        steps: by arm.
    """

    digest: str
    seconds_per_step: dict[str, float]
    steps: dict[str, int]


def fix(planned: Planned, folder: Path, *, progress: Progress) -> Fixed:
    """Measure and write down, or read back what an earlier call has written.

    Raises:
        CheckpointError: if the folder holds another study.
    """
    content = _content(planned)
    if (folder / FIXED).exists():
        return read_fixed(planned, folder)
    seconds = measured_arms(planned, progress=progress)
    fixed = Fixed(_digest(content), seconds, settled_budgets(planned, seconds))
    write_atomically(folder / "study.yaml", lambda file: file.write(planned.file.read_bytes()))
    write_json(folder / FIXED, {**vars(fixed), "content": content, **provenance()})
    return fixed


def read_fixed(planned: Planned, folder: Path) -> Fixed:
    """What was fixed for this very study.

    Raises:
        CheckpointError: if the folder holds no study, or another one; the message names what differs.
    """
    path = folder / FIXED
    if not path.exists():
        raise CheckpointError(
            f"{folder}: holds no study, {FIXED} is missing",
            remedy="leave `--only-table` out, or name its folder by `-o`",
        )
    try:
        known = json.loads(path.read_text())
        fixed = Fixed(known["digest"], known["seconds_per_step"], known["steps"])
        before = known["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})", remedy=f"delete {folder} to start afresh") from error
    content = _content(planned)
    if _digest(content) != fixed.digest:
        changed = ", ".join(_changes(before, content)) or "something"
        raise CheckpointError(
            f"{planned.file}: is not the study that {folder} was begun with; changed: {changed}",
            remedy="undo the change, or choose another `-o`: arms and budgets are fixed before the first run",
        )
    return fixed


def arm_recipe(planned: Planned, fixed: Fixed, name: str, seed: int) -> RunConfig:
    """The recipe of one run of an arm: its seed and its settled budget, teachers still by name."""
    budget = BudgetConfig(steps=fixed.steps[name])
    return planned.arms[name].model_copy(update={"seed": seed, "budget": budget})


def _content(planned: Planned) -> dict[str, Any]:
    study = planned.study.model_dump(mode="json", exclude={"results", "notes", "title"})
    study.pop("set")

    def recipe(config: RunConfig) -> dict[str, Any]:
        return config.model_dump(mode="json", exclude=NOT_ANOTHER_RUN)

    for section, recipes in (("teachers", planned.teachers), ("arms", planned.arms)):
        study[section] = {name: {**study[section][name], "recipe": recipe(recipes[name])} for name in recipes}
        for entry in study[section].values():
            entry.pop("set")
    study.pop("student")
    return study


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _changes(before: Any, after: Any, place: str = "") -> list[str]:
    """Dotted keys, at most two deep, whose values differ."""
    if not (isinstance(before, dict) and isinstance(after, dict)) or place.count(".") == 1:
        return [place]
    keys = [*after, *(key for key in before if key not in after)]
    return [
        found
        for key in keys
        if before.get(key) != after.get(key)
        for found in _changes(before.get(key), after.get(key), f"{place}.{key}" if place else key)
    ]
