"""How much longer one arm's update takes than another's, measured once per machine and then looked up.

A clock gives another figure every time; a machine that keeps its first one repeats a time-matched comparison exactly.
Both arms are measured by turns, as `engine.measure` does; the figure lies in the user's cache folder, under everything
that changes it: the two recipes, the versions and the machine.
"""

import hashlib
import json
import os
from pathlib import Path

from foglight.atomic import write_json
from foglight.config.build import Data
from foglight.config.schema import RunConfig
from foglight.engine.measure import measured_steps
from foglight.engine.processes import Processes
from foglight.preparation import in_full, prepare
from foglight.provenance import provenance


def step_ratio(slower: RunConfig, faster: RunConfig, data: Data) -> float:
    """Seconds of one update of the first over those of the second, on data that both recipes name."""
    path = _kept_at(slower, faster)
    if path.exists():
        kept: float = json.loads(path.read_text())["ratio"]
        return kept
    prepared = {
        name: prepare(in_full(config), Processes(), data=data) for name, config in (("a", slower), ("b", faster))
    }
    seconds = measured_steps({name: (one.distiller, one.beginning, one.config) for name, one in prepared.items()})
    ratio = seconds["a"] / seconds["b"]
    try:
        write_json(path, {"ratio": ratio, "seconds": seconds, **provenance()})
    except OSError:
        # A home that cannot be written to: measured again the next time.
        return ratio
    return ratio


def _kept_at(slower: RunConfig, faster: RunConfig) -> Path:
    made_with = provenance()
    key = [
        # Where a teacher lies changes nothing about its speed.
        [config.model_dump(mode="json", exclude={"seed": True, "teacher": {"name"}}) for config in (slower, faster)],
        *(made_with[name] for name in ("foglight", "python", "versions", "machine")),
    ]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "foglight" / f"step-ratio-{digest}.json"
