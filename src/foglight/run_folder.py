"""What stands in a run folder beside the training's own files, and whether a folder belongs to a run.

`config.yaml` is the recipe complete and resolved; `run.json` says what was asked for (as a fingerprint), what it was
measured to cost, and with what it was made; `student.safetensors`, `student.json` and `result.json` come at the end.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from foglight.atomic import write_atomically, write_json
from foglight.config.load import dump_config
from foglight.config.schema import BudgetConfig, RunConfig
from foglight.data.dataset import DataInfo
from foglight.engine.budget import budget_steps
from foglight.engine.processes import Processes
from foglight.errors import CheckpointError
from foglight.models.network import Network
from foglight.models.student_file import save_student
from foglight.provenance import provenance

# Where a run happens, how often it logs and saves, and what it is allowed do not make it another run.
NOT_ANOTHER_RUN: Final = {
    "engine": {"device", "devices", "nodes", "log_every", "checkpoint_every", "tensorboard"},
    "data": {"root", "workers", "cache"},
    "preflight": True,
    "allow": True,
}


def fingerprint(config: RunConfig, teacher_hash: str | None) -> str:
    """A hash of everything that changes what a run computes."""
    content = config.model_dump(mode="json", exclude=NOT_ANOTHER_RUN)
    return _hash([content, teacher_hash])


def adaptation_key(config: RunConfig, teacher_hash: str | None) -> str:
    """A hash of what a teacher's adaptation depends on: arms that differ elsewhere share it."""
    return _hash([config.model_dump(mode="json", include={"seed", "losses", "data"}), teacher_hash])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def settled_steps(
    config: RunConfig, folder: Path, requested: str, seconds_per_step: Callable[[], float], processes: Processes
) -> int:
    """The budget in updates: settled and written once, then read back.

    Args:
        config: with the budget as it was asked for.
        folder: of the run.
        requested: the fingerprint of what was asked for.
        seconds_per_step: measures one; called for a budget in seconds alone, by every process.
        processes: the leader settles, the others follow.

    Raises:
        CheckpointError: if the folder holds another run.
    """
    known = processes.agreed(lambda: _settled_before(folder, requested))
    if known is not None:
        return known
    seconds = None if config.budget.seconds is None else seconds_per_step()
    return processes.agreed(lambda: _settle(config, folder, requested, seconds))


def _settled_before(folder: Path, requested: str) -> int | None:
    path = folder / "run.json"
    if not path.exists():
        return None
    known = json.loads(path.read_text())
    if known["requested"] != requested:
        raise CheckpointError(
            f"{folder}: holds a run with another configuration or another teacher",
            remedy="choose another `--output`, or delete that folder to start afresh",
        )
    steps: int = known["steps"]
    return steps


def _settle(config: RunConfig, folder: Path, requested: str, seconds: float | None) -> int:
    images = config.data.batch_size * config.optim.accumulate
    steps = budget_steps(config.budget, images_per_step=images, seconds_per_step=seconds)
    settled = dump_config(config.model_copy(update={"budget": BudgetConfig(steps=steps)}))
    write_atomically(folder / "config.yaml", lambda file: file.write(settled.encode()))
    write_json(
        folder / "run.json", {"requested": requested, "steps": steps, "seconds_per_step": seconds, **provenance()}
    )
    return steps


def keep_result(
    student: Network,
    folder: Path,
    config: RunConfig,
    info: DataInfo,
    *,
    steps: int,
    scores: Mapping[str, Any],
    teacher_scores: Mapping[str, Any] | None,
    seconds: float | None,
) -> None:
    """Write the student, and what it and its teacher scored; `seconds` of training, None for a resumed run."""
    metadata = {
        "class_names": list(info.class_names),
        "palette": [list(colour) for colour in info.palette],
        "extra_kinds": list(info.extra_kinds) if student.extra_channels else None,
        "trained_on": config.data.name,
        "input_size": None if config.data.size is None else list(config.data.size),
        "method": config.method,
        "steps": steps,
    }
    save_student(student, folder, metadata=metadata)
    result = {"steps": steps, "seconds": seconds, "student": scores, "teacher": teacher_scores, **provenance()}
    write_json(folder / "result.json", result)
