"""Every figure of a run as one JSON object per line, and in TensorBoard where it is installed.

On resuming, lines after the checkpoint's step are dropped: the file ends as an uninterrupted run's would.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from foglight.atomic import write_atomically


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a line cut short by a crash is left out."""
    if not path.exists():
        return []
    records: list[dict[str, Any]] = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


@final
class MetricsLog:
    """An append-only metrics file.

    Args:
        folder: of the run.
        resume_step: lines with a later step are dropped.
        tensorboard: whether to write TensorBoard's files too, where it is installed.
    """

    def __init__(self, folder: Path, *, resume_step: int, tensorboard: bool) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [record for record in read_metrics(self.path) if record["step"] <= resume_step and resume_step > 0]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(self.path, lambda file: file.write(text.encode()))
        self._writer: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)

    def write(self, step: int, values: Mapping[str, Any], *, kind: str) -> None:
        """Append one record; `kind` says what it is about (train, tune, note)."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush what is buffered."""
        if self._writer is not None:
            self._writer.close()
