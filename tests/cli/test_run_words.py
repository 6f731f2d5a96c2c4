"""Does a command line become the run that it describes, and the same folder every time?"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foglight import api
from foglight.cli import run
from foglight.config.schema import BudgetConfig, RunConfig

SCORES = {"miou": 0.5, "per_class": [{"name": "road", "iou": 0.9}, {"name": "sky", "iou": None}]}
TEACHER_SCORES = {"miou": 0.75, "per_class": [{"name": "road", "iou": 0.95}, {"name": "sky", "iou": 0.5}]}
Call = tuple[RunConfig, Path, dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    made: list[Call] = []

    def record(config: RunConfig, output: Path, **rest: Any) -> SimpleNamespace:
        made.append((config, output, rest))
        teacher = None if config.teacher is None else TEACHER_SCORES
        return SimpleNamespace(folder=output, scores=SCORES, teacher_scores=teacher, steps=3, seconds=1.5)

    monkeypatch.setattr(api, "run_training", record)
    monkeypatch.setattr(api, "run_distillation", record)
    return made


def called(calls: list[Call], *arguments: str) -> Call:
    assert run(list(arguments)) == 0
    return calls[-1]


def test_every_option_reaches_its_key(calls: list[Call]) -> None:
    config, folder, rest = called(
        calls,
        "distill",
        "--student",
        "lite_s",
        "--teacher",
        "runs/t",
        "--data",
        "camvid",
        "--root",
        "frames",
        "--split",
        "drive:0001TP",
        "--unlabeled",
        "more",
        "--method",
        "kd",
        "--samples",
        "64",
        "--seed",
        "5",
        "-o",
        "out",
        "--fast",
        "--device",
        "cpu",
        "--allow",
        "a",
        "--allow",
        "b",
        "--no-preflight",
        "--trust-checkpoint",
        "--set",
        "optim.lr=0.5",
        "optim.momentum=0.5",
    )
    assert (config.student.name, folder, rest["trust"]) == ("lite_s", Path("out"), True)
    assert config.teacher is not None
    assert config.teacher.name == "runs/t"
    data = config.data
    assert (data.name, data.root, data.split, data.unlabeled) == ("camvid", "frames", "drive:0001TP", "more")
    assert (config.method, [loss.name for loss in config.losses]) == ("kd", ["cross_entropy", "kd"])
    assert config.budget == BudgetConfig(samples=64)
    assert (config.seed, config.engine.fast, config.engine.device) == (5, True, "cpu")
    assert (config.allow, config.preflight) == (("a", "b"), False)
    assert (config.optim.lr, config.optim.momentum) == (0.5, 0.5)


def test_options_lie_over_the_recipe_and_overrides_over_both(calls: list[Call], tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("student: lite_m\nseed: 1\nlosses: [kd]\nbudget: {steps: 9}\n")
    teacher = ("--teacher", "t")
    assert called(calls, "distill", str(recipe), *teacher)[0].seed == 1
    assert called(calls, "distill", str(recipe), *teacher, "--seed", "2")[0].seed == 2
    assert called(calls, "distill", str(recipe), *teacher, "--seed", "2", "seed=3")[0].seed == 3
    assert called(calls, "distill", "--recipe", str(recipe), *teacher)[0].student.name == "lite_m"
    # A budget and a method replace the recipe's as a whole.
    assert called(calls, "distill", str(recipe), *teacher, "--seconds", "60")[0].budget == BudgetConfig(seconds=60)
    assert called(calls, "distill", str(recipe), *teacher)[0].method is None
    assert called(calls, "distill", str(recipe), *teacher, "--method", "cwd")[0].losses[1].name == "cwd"


def test_default_methods(calls: list[Call]) -> None:
    assert called(calls, "train", "--student", "lite_s")[0].method == "ce"
    assert called(calls, "distill", "--student", "lite_s", "--teacher", "t")[0].method == "fog"


def test_the_same_words_give_the_same_folder_and_other_words_another(calls: list[Call]) -> None:
    def folder(*words: str) -> Path:
        return called(calls, "distill", *words)[1]

    plain = folder("camvid_lite_kd")
    assert plain == Path("runs/camvid_lite_kd")
    # Where the data lies and what runs it do not make another run.
    assert folder("camvid_lite_kd", "--root", "elsewhere", "--device", "cpu") == plain
    changed = folder("camvid_lite_kd", "--seed", "1")
    assert changed == folder("camvid_lite_kd", "seed=1") != plain
    assert changed.name.startswith("camvid_lite_kd-")
    own = folder("--student", "lite_s", "--teacher", "t", "--data", "my/crops")
    assert own.name.startswith("crops-lite_s-fog-")


def test_the_table_has_deltas_and_dashes_and_says_what_is_next(
    calls: list[Call], capsys: pytest.CaptureFixture[str]
) -> None:
    called(calls, "distill", "--student", "lite_s", "--teacher", "t", "-o", "out")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mIoU", "75.00", "50.00", "-25.00"] in rows
    assert ["IoU", "road", "95.00", "90.00", "-5.00"] in rows
    assert ["IoU", "sky", "50.00", "-", "-"] in rows
    assert ["written", "out/student.safetensors"] in rows
    assert rows[-1][:3] == ["next", "foglight", "predict"]
