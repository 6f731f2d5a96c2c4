"""One training step of every network of LIX and FOTF's SegFormer at KITTI's 1248x384: does it stay within the plan?

    python results/lix/large_step.py

For each network `foglight plan` prints the memory at the highest point of a step; then a fresh process trains one step,
and the system says what it held at most. One crop, float32; fogtown's frames enlarged, so that nothing is downloaded.
Writes `large_step.md` and `large_step.json` beside this file, anew after every network.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console

from foglight.atomic import write_atomically, write_json
from foglight.provenance import provenance

HERE: Final = Path(__file__).parent
SIZE: Final = (384, 1248)
RGBD: Final = (
    "sne_roadseg_r18",
    "sne_roadseg_r50",
    "sne_roadseg_r152",
    "sne_roadseg_lite",
    "mfnet",
    "mfnet_lite",
)
RGB: Final = (
    "sne_roadseg_r18_rgb",
    "sne_roadseg_r50_rgb",
    "sne_roadseg_r152_rgb",
    "sne_roadseg_lite_rgb",
    "mfnet_rgb",
    "mfnet_lite_rgb",
    "segformer_b0",
    "segformer_b4",
)


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        network: its name.
        parameters: in millions.
        planned: bytes that the plan prints.
        held: bytes that the process of one step held at most.
    """

    network: str
    parameters: float
    planned: int
    held: int

    @property
    def holds(self) -> bool:
        """Within the plan."""
        return self.held <= self.planned


def words(network: str) -> list[str]:
    """What `plan` and `train` are both told."""
    extra = ["data.options.extra=inverse_depth", "student.options.extra_channels=1"] if network in RGBD else []
    settings = {
        "data.size": list(SIZE),
        "data.options.frames": 4,
        "data.options.towns": 2,
        "data.batch_size": 1,
        "data.augment.crop": list(SIZE),
        "data.augment.scale": [1.0, 1.0],
        "engine.tensorboard": False,
    }
    assignments = [*(f"{key}={json.dumps(value)}" for key, value in settings.items()), *extra]
    told = [word for assignment in assignments for word in ("--set", assignment)]
    return ["--student", network, "--data", "fogtown", "--steps", "1", "--device", "cpu", *told]


def foglight(*arguments: str) -> tuple[str, int]:
    """What a command says, and the bytes that its process held at most."""
    process = subprocess.Popen([sys.executable, "-m", "foglight", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"foglight {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return said, usage.ru_maxrss * 1024


def measured(network: str) -> Row:
    """Plan, then one step in a process of its own."""
    with TemporaryDirectory() as folder:
        said, _ = foglight("plan", *words(network), "-o", f"{folder}/run", "--json")
        plan: Mapping[str, Any] = json.loads(said)
        _, held = foglight("train", *words(network), "-o", f"{folder}/run", "--no-preflight", "--quiet")
    return Row(network, plan["student"]["parameters"] / 1e6, plan["cost"]["peak_memory_bytes"], held)


def main() -> None:
    """All networks, one after the other."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows: list[Row] = []
    for network in (*RGBD, *RGB):
        rows.append(measured(network))
        Console().print(line(rows[-1]))
        write(rows)


def write(rows: Sequence[Row]) -> None:
    """Table and data of the networks so far."""
    made_with = provenance()
    held = sum(row.holds for row in rows)
    text = "\n".join(
        [
            "# One step at 1248x384",
            "",
            f"{held} of {len(rows)} networks take a training step within the memory that `foglight plan` says. One",
            "crop, float32, CPU; resident memory of the process, libraries and frames included. `held` also covers",
            "building the network, and scoring four frames afterwards.",
            "",
            "```",
            "python results/lix/large_step.py",
            "```",
            "",
            "| network | M parameters | planned GB | held GB | within |",
            "| --- | --- | --- | --- | --- |",
            *(line(row) for row in rows),
            "",
            f"Commit {made_with['commit']}, Python {made_with['python']}, torch {made_with['versions']['torch']}, "
            f"{made_with['machine']['processor']}, {made_with['machine']['cores']} cores.",
            "",
        ]
    )
    write_json(HERE / "large_step.json", {**made_with, "rows": [{**asdict(row), "holds": row.holds} for row in rows]})
    write_atomically(HERE / "large_step.md", lambda file: file.write(text.encode()))


def line(row: Row) -> str:
    """Of the table."""
    within = "yes" if row.holds else "**no**"
    return f"| `{row.network}` | {row.parameters:.1f} | {row.planned / 1e9:.2f} | {row.held / 1e9:.2f} | {within} |"


if __name__ == "__main__":
    main()
