"""Does every textbook form give what our loss gives, so that timing one against the other means something?"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from foglight.losses.registry import loss_names

FOLDER = Path(__file__).parents[2] / "benchmarks"
BENCHMARK = "losses"
OTHERS = (
    "nst, 64x32x64",
    *(f"{name}, full" for name in ("kd", "cwd", "dkd", "dist")),
    *(f"cross_entropy + kd{how}" for how in ("", ", two losses")),
)


@pytest.mark.parametrize("name", [*loss_names(), *OTHERS])
def test_the_naive_form_is_the_same_loss(name: str, benchmark: ModuleType) -> None:
    (case,) = (case for case in benchmark.cases() if case.name == name)
    benchmark.compare(case)


def test_every_case_is_compared(benchmark: ModuleType) -> None:
    assert {case.name for case in benchmark.cases()} == {*loss_names(), *OTHERS}


def test_another_loss_is_noticed(benchmark: ModuleType) -> None:
    (case,) = (case for case in benchmark.cases() if case.name == "kd")
    with pytest.raises(AssertionError):
        benchmark.compare(replace(case, naive="kd_mse"))


@pytest.mark.slow
def test_the_command_measures_time_and_memory(tmp_path: Path) -> None:
    file = tmp_path / "losses.json"
    command = [sys.executable, str(FOLDER / "losses.py"), "--quick", "--only", "kd_mse", "--total", "1"]
    subprocess.run([*command, "--json", str(file)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    report = json.loads(file.read_text())
    (row,) = report["rows"]
    assert report["provenance"]["machine"]["threads"] == 1
    assert min(*row["seconds"].values(), *row["megabytes"].values()) > 0
