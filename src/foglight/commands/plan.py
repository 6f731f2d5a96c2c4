"""`foglight plan`: what `train` or `distill` would do with the same words, and what it would cost; trains nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from foglight.commands import options
from foglight.commands.output import Output, listing, plain_table

if TYPE_CHECKING:
    from pathlib import Path

    from foglight.commands.recipe_words import RunWords
    from foglight.engine.preflight_record import Preflight


def plan(
    words: options.Words = None,
    recipe: options.Recipe = None,
    teacher: options.TeacherName = None,
    class_map: options.ClassMap = None,
    finetune_teacher: options.FinetuneTeacher = None,
    student: options.StudentName = None,
    insert_dropout: options.InsertDropout = None,
    weights: options.Weights = None,
    pretrained: options.Pretrained = None,
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
    unlabeled: options.Unlabeled = None,
    method: options.Method = None,
    steps: options.Steps = None,
    samples: options.Samples = None,
    seconds: options.Seconds = None,
    seed: options.Seed = None,
    folder: options.RunFolder = None,
    overrides: options.Set = None,
    fast: options.Fast = False,
    device: options.Device = None,
    devices: options.Devices = None,
    nodes: options.Nodes = None,
    allow: options.Allow = None,
    no_preflight: options.NoPreflight = False,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a run without training: weights, taps, loss terms, time, memory. Takes the words of train or distill."""
    output = Output("plan", json=json, quiet=quiet)
    from foglight.commands.recipe_words import RunWords, run_options

    given = run_options(
        student=student, weights=weights, pretrained=pretrained, teacher=teacher, data=data, root=root,
        split=split, unlabeled=unlabeled,
        method=method, steps=steps, samples=samples, seconds=seconds, seed=seed, fast=fast, device=device,
        devices=devices, nodes=nodes, allow=allow, no_preflight=no_preflight,
        class_map=class_map, finetune_teacher=finetune_teacher, insert_dropout=insert_dropout,
    )  # fmt: skip
    _plan(output, RunWords(words or (), recipe, given, overrides or ()), folder, trust=trust)


def _plan(output: Output, words: "RunWords", folder: "Path | None", *, trust: bool) -> None:
    from dataclasses import replace

    from foglight.commands.recipe_words import read_words

    config, default_folder = read_words(words)
    if config.teacher is not None:
        # As `distill` reads them; `train` has another method by default.
        config, default_folder = read_words(replace(words, default_method="fog"))
    folder = folder or default_folder
    output.say(f"run      {folder}")
    from foglight.commands.progress import TerminalProgress
    from foglight.preflight_run import plan as look

    seen = look(config, folder, trust=trust, progress=TerminalProgress(output))
    for note in seen.notes:
        output.say(note)
    for table in _tables(seen):
        output.line("")
        output.show(table)
    output.line("")
    for line in _lines(seen):
        output.line(line)
    output.result({"folder": str(folder), **seen.to_dict()})


def _tables(seen: "Preflight") -> Iterator[Table]:
    yield _networks(seen)
    if seen.taps:
        table = listing("tap", "of the", "loss", "channels", "height x width", "stride")
        for tap in seen.taps:
            grid = "-" if tap.height is None else f"{tap.height} x {tap.width}"
            table.add_row(tap.tap, tap.side, tap.loss, str(tap.channels), grid, str(tap.stride))
        yield table
    if seen.connectors:
        table = listing("module of a loss", "loss", "kind", "shape", "parameters")
        for row in seen.connectors:
            shape = " x ".join(map(str, row.shape)) or "one number"
            table.add_row(row.module, row.loss, row.kind, shape, str(row.parameters))
        yield table
    table = plain_table("term", "loss", "value", "weight", "gradient norm", "share", "weighted share")
    for term in seen.terms:
        shares = (f"{100 * term.share:.1f} %", f"{100 * term.weighted_share:.1f} %")
        figures = (f"{term.value:.4g}", f"{term.weight:g}", f"{term.gradient_norm:.3g}")
        table.add_row(term.name, term.loss, *figures, *shares)
    yield table


def _networks(seen: "Preflight") -> Table:
    table = listing("network", "name", "classes", "stride", "parameters", "mean", "sd")
    for role, network in (("student", seen.student), ("teacher", seen.teacher)):
        if network is None:
            continue
        own = network.normalisation
        colours = ("differ", "differ") if own is None else (_colour(own.mean), _colour(own.std))
        millions = f"{network.parameters / 1e6:.3f} M"
        table.add_row(role, network.name, str(network.classes), str(network.stride), millions, *colours)
    return table


def _colour(values: tuple[float, float, float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _lines(seen: "Preflight") -> Iterator[str]:
    from foglight.preflight_words import cost_in_words, percent

    if seen.teacher_miou is not None:
        yield f"teacher  mIoU {percent(seen.teacher_miou)} on a slice of the tune part"
        yield f"student  mIoU {percent(seen.untrained_student_miou)} there, untrained"
    if seen.mc_dropout:
        for dropout in seen.active_dropouts:
            feeds = ", feeds the classifier" if dropout.feeds_classifier else ""
            yield f"dropout  {dropout.name}: rate {dropout.rate:g}{feeds}"
    if seen.cost.teacher_share is not None:
        yield f"teacher  {100 * seen.cost.teacher_share:.0f} % of a step's time"
    yield f"cost     {cost_in_words(seen)}"
    yield f"memory   decoded frames will take {seen.cost.cache_bytes / 1e6:.3g} MB"
    if seen.allowed:
        yield f"allowed  {', '.join(seen.allowed)}"
