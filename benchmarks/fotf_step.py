"""What sigma costs in a training step: vanilla KD against FOTF by closed form, replay and whole passes.

    python benchmarks/fotf_step.py --json FILE [--quick]

Timed is one whole update as `foglight distill` makes it, data loading left out: teacher, student with its auxiliary
head, sigma, cross-entropy and KD, backward, optimiser. 2x3x128x256, 19 classes, random weights and images, float32, one
thread, process CPU time. Nothing is shared between variants but the networks themselves: each runs its own teacher.
In every round the variants run once each, in random order, and are divided by that round's vanilla KD; whole passes,
which carry no bar, run in six of the rounds. Reported is the median of these ratios with an interval from order
statistics (coverage stated, at least 95 %); a bar holds when the lower end is at most the bar.

`step over the floor` = vanilla KD / (the student's step on labels alone + the teacher's forward).
`--fast` = the same KD step in bfloat16: folded channels-last teacher, channels-last student under autocast.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import torch
from fotf_arms import FAST, KD, PAIRS, STUDENT, TEACHER, Pair, prepare, steps
from paired_rounds import FEWEST, median_interval, paired_rounds, seconds_of
from rich.console import Console
from rich.table import Table

from foglight.atomic import write_json
from foglight.provenance import provenance

FLOOR: Final = "step over the floor"
FLOOR_BAR: Final = 1.03
FAST_BAR: Final = 0.55
# As Linux spells them on x86 and on ARM; without one of them bfloat16 is emulated.
BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


@dataclass(frozen=True)
class Row:
    """One line of the result; `verdict` is None where there is no bar."""

    pair: str
    variant: str
    seconds: float | None
    ratio: float | None
    low: float | None
    high: float | None
    coverage: float | None
    rounds: int
    bar: float | None
    paper: float | None
    verdict: str | None


def bf16_flags() -> list[str]:
    """The CPU's instructions for bfloat16."""
    path = Path("/proc/cpuinfo")
    return sorted(BF16_FLAGS & set(path.read_text().split())) if path.exists() else []


def rows_of(pair: Pair, measured: list[dict[str, float]]) -> list[Row]:
    """Every variant against the vanilla KD of its own round."""

    def row(name: str, ratios: list[float], bar: float | None, paper: float | None = None) -> Row:
        bar = bar if pair.promised else None
        seconds = [one[name] for one in measured if name in one]
        low, high, coverage = median_interval(ratios)
        verdict = None if bar is None else "holds" if low <= bar else "MISSED"
        interval = (median(ratios), low, high, coverage, len(ratios))
        return Row(pair.name, name, median(seconds) if seconds else None, *interval, bar, paper, verdict)

    def relative(name: str) -> list[float]:
        return [one[name] / one[KD] for one in measured if name in one]

    rows = [row(name, relative(name), None) for name in (KD, STUDENT, TEACHER)]
    rows += [row(sigma.name, relative(sigma.name), sigma.bar, sigma.paper) for sigma in pair.sigmas]
    rows.append(row(FLOOR, [one[KD] / (one[STUDENT] + one[TEACHER]) for one in measured], FLOOR_BAR))
    if FAST in measured[0]:
        rows.append(row(FAST, relative(FAST), FAST_BAR))
    else:
        rows.append(Row(pair.name, FAST, *[None] * 5, rounds=0, bar=None, paper=None, verdict="not measured: no bf16"))
    return rows


def table(rows: list[Row], *, quick: bool) -> Table:
    """For a reader."""
    shown = Table(title="a training step, vanilla KD = 1.00" + quick * " (quick: nothing is claimed)")
    for heading in ("pair", "variant", "CPU s", "ratio", "interval", "rounds", "bar", "verdict", "FOTF's Table 6"):
        shown.add_column(heading, justify="left" if heading in ("pair", "variant", "verdict") else "right")
    for row in rows:
        interval = "-" if row.low is None else f"{row.low:.3f} .. {row.high:.3f}"
        figures = [_number(row.seconds), _number(row.ratio), interval, str(row.rounds), _number(row.bar)]
        shown.add_row(row.pair, row.variant, *figures, row.verdict or "-", _number(row.paper))
    return shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="small images, a small teacher, two rounds; no claim")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    console, flags = Console(width=180), bf16_flags()
    size, rounds = ((32, 64), 2) if given.quick else ((128, 256), given.rounds)
    console.print(f"bf16 instructions: {', '.join(flags) or 'none'}", highlight=False)

    teachers = {"deeplabv3_r101": "deeplabv3_r18" if given.quick else "deeplabv3_r101", "lite_m": "lite_m"}
    networks = {name: prepare(standing) for name, standing in teachers.items()}
    arms = [steps(pair, networks[pair.teacher], size, fast=bool(flags)) for pair in PAIRS]
    estimate = 0.0
    for pair, variants in zip(PAIRS, arms, strict=True):
        for name, step in variants.items():
            # The first call is the warm-up.
            estimate += seconds_of(step) * (FEWEST if name in pair.rare else rounds)
    console.print(f"about {estimate / 60:.1f} minutes for {rounds} rounds", highlight=False)

    rows = list[Row]()
    settings = {"quick": given.quick, "size": size, "rounds": rounds, "teachers": teachers, "bf16": flags}
    for pair, variants in zip(PAIRS, arms, strict=True):
        measured = list(paired_rounds(variants, rounds=rounds, rare=pair.rare))
        rows += rows_of(pair, measured)
        if given.json:
            write_json(given.json, {"provenance": provenance(), **settings, "rows": [asdict(row) for row in rows]})
    console.print(table(rows, quick=given.quick))


if __name__ == "__main__":
    main()
