"""Time and memory of every loss against its textbook form, both forward and backward, interleaved, on one thread.

    python benchmarks/losses.py [--only NAME ...] [--quick] [--device cuda] [--json FILE] [--keep-freed-memory]

At a 512x1024 crop and batch 2: logits 19x64x128, features 512 (student) and 2048 (teacher) x 64x128, float32. Seconds
are the median of the process's CPU time (on a GPU of the wall clock, synchronised); memory is the peak of a first step
above what inputs, parameters and buffers take. Either is taken in a fresh process per case: what earlier cases left in
the heap decides whether a large map is faulted in anew at every step, or not at all, as under `--keep-freed-memory`.
Before a case is timed, both forms are compared in value and gradient in float64 on a small one.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from loss_cases import QUICK, Case, Form, Scene, Sizes, cases, make_scene
from measuring import keep_freed_memory, limit_memory, median_seconds, peak_bytes
from rich.console import Console
from rich.table import Table
from torch import Tensor

from foglight.atomic import write_json
from foglight.provenance import provenance

# Of the free memory: what a form may take before it counts as not fitting.
LARGEST_SHARE: Final = 0.8
MEGABYTE: Final = 1e6


@dataclass(frozen=True)
class Row:
    """What was measured of a case; None where a form does not exist or does not fit.

    Attributes:
        case: its name.
        seconds: by form.
        megabytes: by form.
        faster: naive over ours.
        leaner: naive over ours.
        faster_promised: at least.
        leaner_promised: at least.
        kept: whether both promises are kept; None where there is nothing to compare with.
        note: why the case is as it is.
    """

    case: str
    seconds: dict[str, float | None]
    megabytes: dict[str, float | None]
    faster: float | None
    leaner: float | None
    faster_promised: float
    leaner_promised: float
    kept: bool | None
    note: str


def compare(case: Case) -> None:
    """Both forms agree in value and in every gradient, in float64 on a small scene.

    Raises:
        AssertionError: if they do not.
    """
    found: dict[Form, tuple[Tensor, list[Tensor | None]]] = {}
    forms: tuple[Form, Form] = ("ours", "naive")
    for form in forms:
        scene = make_scene(case, QUICK, dtype=torch.float64, device=torch.device("cpu"))
        value = scene.value(form)
        leaves = [leaf for leaf in scene.leaves() if leaf.requires_grad]
        found[form] = value, list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))
    torch.testing.assert_close(*found.values(), rtol=1e-6, atol=1e-9)
    assert any(grad is not None and bool(grad.any()) for grad in found["ours"][1])


def peak(name: str, form: Form, sizes: Sizes, device: str) -> float | None:
    """Megabytes of a first step, in a process of its own; None where the memory does not suffice."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_peak, name, form, sizes, device).result()
        except (MemoryError, BrokenProcessPool):
            return None


def _peak(name: str, form: Form, sizes: Sizes, device: str) -> float:
    torch.set_num_threads(1)
    case = _named(name)
    # Libraries take memory of their own when they are first used.
    _scene(case, QUICK, device).step(form)()
    step = _scene(case, sizes, device).step(form)
    if device == "cpu":
        limit_memory(LARGEST_SHARE)
    try:
        return peak_bytes(step, device=torch.device(device)) / MEGABYTE
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise MemoryError from error


def timed(
    name: str, forms: Sequence[Form], sizes: Sizes, *, device: str, total: float, keep_freed: bool
) -> dict[str, float]:
    """Median seconds of a step by form, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_timed, name, forms, sizes, device, total, keep_freed).result()


def _timed(
    name: str, forms: Sequence[Form], sizes: Sizes, device: str, total: float, keep_freed: bool
) -> dict[str, float]:
    torch.set_num_threads(1)
    if keep_freed:
        keep_freed_memory()
    scene = _scene(_named(name), sizes, device)
    return median_seconds({form: scene.step(form) for form in forms}, device=torch.device(device), total=total)


def _named(name: str) -> Case:
    (case,) = (case for case in cases() if case.name == name)
    return case


def _scene(case: Case, sizes: Sizes, device: str) -> Scene:
    return make_scene(case, sizes, dtype=torch.float32, device=torch.device(device))


def measure(case: Case, sizes: Sizes, *, device: str, total: float, keep_freed: bool) -> Row:
    """Memory first, because only a form that fits is timed."""
    forms: list[Form] = ["ours"]
    if _scene(case, QUICK, device).naive is not None:
        compare(case)
        if case.naive_fits or sizes == QUICK:
            forms.append("naive")
    megabytes = {form: peak(case.name, form, sizes, device) for form in forms}
    fitting = [form for form in forms if megabytes[form] is not None]
    seconds = timed(case.name, fitting, sizes, device=device, total=total, keep_freed=keep_freed)
    faster = _ratio(seconds.get("naive"), seconds.get("ours"))
    leaner = _ratio(megabytes.get("naive"), megabytes.get("ours"))
    kept = None
    if faster is not None and leaner is not None:
        kept = faster >= case.faster and leaner >= case.leaner
    both = ("ours", "naive")
    return Row(
        case.name,
        {form: seconds.get(form) for form in both},
        {form: megabytes.get(form) for form in both},
        faster,
        leaner,
        case.faster,
        case.leaner,
        kept,
        case.note,
    )


def _ratio(naive: float | None, ours: float | None) -> float | None:
    return None if naive is None or ours is None else naive / max(ours, 1e-9)


def table(rows: list[Row]) -> Table:
    """For a reader."""
    shown = Table(title="forward and backward, against the naive form")
    for heading in ("case", "s", "naive s", "faster", "MB", "naive MB", "leaner", "promise", "note"):
        shown.add_column(heading, justify="left" if heading in ("case", "note") else "right")
    for row in rows:
        promise = f"{row.faster_promised:.2f}x" + (f", {row.leaner_promised:g}x" if row.leaner_promised else "")
        verdict = {True: "kept", False: "MISSED", None: "-"}[row.kept]
        shown.add_row(
            row.case,
            *(_number(row.seconds[form], ".4f") for form in ("ours", "naive")),
            _number(row.faster, ".2f"),
            *(_number(row.megabytes[form], ".0f") for form in ("ours", "naive")),
            _number(row.leaner, ".1f"),
            f"{promise if row.faster_promised else 'none'}: {verdict}",
            row.note,
        )
    return shown


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="cases whose name starts so")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--total", type=float, default=60.0, help="seconds of timing per case")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--keep-freed-memory", action="store_true", help="time with an allocator that gives none back")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [case for case in cases() if not arguments.only or case.name.startswith(tuple(arguments.only))]
    if not chosen:
        sys.exit(f"expected the name of a case, got {arguments.only}; they are {', '.join(c.name for c in cases())}")
    console, rows, sizes = Console(width=200), list[Row](), QUICK if arguments.quick else Sizes()
    report = {"provenance": provenance(), "sizes": asdict(sizes)}
    report |= {name: vars(arguments)[name] for name in ("device", "total", "keep_freed_memory")}
    for case in chosen:
        keep_freed = arguments.keep_freed_memory
        rows.append(measure(case, sizes, device=arguments.device, total=arguments.total, keep_freed=keep_freed))
        console.print(f"{case.name}: {rows[-1].seconds} s, {rows[-1].megabytes} MB", highlight=False)
        if arguments.json:
            # After every case: what a long run has measured outlives it.
            write_json(arguments.json, {**report, "rows": [asdict(row) for row in rows]})
    console.print(table(rows))


if __name__ == "__main__":
    main()
