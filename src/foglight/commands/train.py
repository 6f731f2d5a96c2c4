"""`foglight train`: supervised training, of a teacher or of a baseline."""

from typing import TYPE_CHECKING

from foglight.commands import options
from foglight.commands.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from foglight.run import RunResult


def train(
    words: options.Words = None,
    recipe: options.Recipe = None,
    student: options.StudentName = None,
    insert_dropout: options.InsertDropout = None,
    weights: options.Weights = None,
    pretrained: options.Pretrained = None,
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
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
    """Train a network on labels alone: a teacher, or a baseline. The same command again resumes."""
    output = Output("train", json=json, quiet=quiet)
    from foglight.commands.recipe_words import RunWords, run_options
    from foglight.commands.scored_run import run_and_show

    given = run_options(
        student=student, weights=weights, pretrained=pretrained, teacher=None, data=data, root=root,
        split=split, unlabeled=None,
        method=method, steps=steps,
        samples=samples, seconds=seconds, seed=seed, fast=fast, device=device, devices=devices,
        nodes=nodes, allow=allow, no_preflight=no_preflight,
        insert_dropout=insert_dropout,
    )  # fmt: skip
    words_of_run = RunWords(words or (), recipe, given, overrides or (), default_method="ce")
    run_and_show(output, words_of_run, folder, choose=_training, trust=trust)


def _training() -> "Callable[..., RunResult]":
    from foglight import api

    return api.run_training
