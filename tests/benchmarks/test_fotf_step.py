"""Does the benchmark of a training step divide what belongs together, and measure every variant that has a bar?"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
BENCHMARK = "fotf_step"


def test_the_interval_covers_the_median_as_often_as_it_says(benchmark: ModuleType) -> None:
    """Of a skewed distribution, whose mean is not its median."""
    draw, trials = Random(0), 4000
    samples = [[draw.expovariate(1.0) for _ in range(15)] for _ in range(trials)]
    intervals = [benchmark.median_interval(sample) for sample in samples]
    covered = sum(low <= 0.6931 <= high for low, high, _ in intervals) / trials
    assert {round(stated, 4) for *_, stated in intervals} == {0.9648}
    assert covered == pytest.approx(0.9648, abs=0.01)


def test_too_few_rounds_say_how_little_they_cover(benchmark: ModuleType) -> None:
    assert benchmark.median_interval([3.0, 1.0]) == (1.0, 3.0, 0.5)


def test_rare_steps_run_in_six_rounds_and_others_in_all(benchmark: ModuleType) -> None:
    rounds = list(benchmark.paired_rounds({"a": int, "b": int, "c": int}, rounds=15, rare={"c"}))
    assert [sum(name in one for one in rounds) for name in "abc"] == [15, 15, 6]
    assert len({tuple(one) for one in rounds}) > 2  # the order changes


def test_a_slow_round_changes_no_ratio(benchmark: ModuleType) -> None:
    """A machine ten times slower for one round is so for both sides of a ratio."""
    pair = benchmark.PAIRS[1]
    seconds = {benchmark.KD: 2.0, benchmark.STUDENT: 0.75, benchmark.TEACHER: 1.25}
    seconds |= {sigma.name: 2.1 for sigma in pair.sigmas} | {benchmark.FAST: 1.0}
    measured = [{name: slow * value for name, value in seconds.items()} for slow in (1.0, 10.0, 1.0)]
    rows = {row.variant: row for row in benchmark.rows_of(pair, measured)}
    assert [rows[benchmark.FLOOR].ratio, rows[benchmark.FAST].ratio] == [1.0, 0.5]
    weighted = [rows[sigma.name] for sigma in pair.sigmas]
    assert [row.high for row in weighted] == pytest.approx([1.05] * len(weighted))
    assert [row.verdict for row in weighted] == ["MISSED", "MISSED", "holds", None, None]  # 1.02, 1.03, 1.06


@pytest.mark.slow
def test_the_command_judges_every_bar(tmp_path: Path) -> None:
    file = tmp_path / "fotf_step.json"
    command = [sys.executable, str(FOLDER / "fotf_step.py"), "--quick", "--json", str(file)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    report = json.loads(file.read_text())
    assert report["quick"]
    assert report["provenance"]["machine"]["threads"] == 1
    bars = {(row["pair"].split()[0], row["bar"]) for row in report["rows"] if row["bar"] is not None}
    fast = {(student, 0.55) for student in ("deeplabv3_r18", "pspnet_r18") if report["bf16"]}
    assert bars == fast | {
        *(("deeplabv3_r18", bar) for bar in (1.02, 1.10, 1.03)),
        *(("pspnet_r18", bar) for bar in (1.02, 1.03, 1.06)),
    }
    for row in report["rows"]:
        if row["ratio"] is not None:
            assert 0 < row["low"] <= row["ratio"] <= row["high"]
        if row["bar"] is not None:
            assert row["verdict"] == ("holds" if row["low"] <= row["bar"] else "MISSED")
