"""`foglight distill`: a student learns from a teacher."""

from typing import TYPE_CHECKING

from foglight.commands import options
from foglight.commands.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from foglight.run import RunResult


def distill(
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
    """Distil a teacher into a student; without --method by `fog`. The same command again resumes."""
    output = Output("distill", json=json, quiet=quiet)
    from foglight.commands.recipe_words import RunWords, run_options
    from foglight.commands.scored_run import run_and_show

    given = run_options(
        student=student, weights=weights, pretrained=pretrained, teacher=teacher, data=data, root=root,
        split=split, unlabeled=unlabeled,
        method=method, steps=steps, samples=samples, seconds=seconds, seed=seed, fast=fast, device=device,
        devices=devices, nodes=nodes, allow=allow, no_preflight=no_preflight,
        class_map=class_map, finetune_teacher=finetune_teacher, insert_dropout=insert_dropout,
    )  # fmt: skip
    words_of_run = RunWords(words or (), recipe, given, overrides or (), default_method="fog")
    run_and_show(output, words_of_run, folder, choose=_distillation, trust=trust)


def _distillation() -> "Callable[..., RunResult]":
    from foglight import api

    return api.run_distillation
