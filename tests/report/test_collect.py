"""Does a report say the same as the networks do, and only about runs that can be compared?"""

import json
from pathlib import Path

import pytest

from foglight.config.schema import BudgetConfig, ModelConfig, PixelWeightConfig
from foglight.engine.progress import Silent
from foglight.errors import UserError
from foglight.report.html import render
from foglight.report.records import Report
from foglight.report.words import kept_share
from foglight.reporting.cast import read_cast
from foglight.reporting.collect import ReportOptions, collect, write_report
from foglight.run import run
from report.builders import CLASSES, own_data, small_config, stored_run, taught


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, the student alone, and two distilled students, one of them weighted by sigma."""
    folder = tmp_path_factory.mktemp("runs")
    config = small_config(own_data(folder / "data"))
    weight = PixelWeightConfig(source="mc_dropout")
    weighted = tuple(loss.model_copy(update={"pixel_weight": weight}) for loss in config.losses)
    stored_run(folder / "teacher", config, weights=1)
    stored_run(folder / "alone", config, weights=2)
    stored_run(folder / "kd", taught(config, str(folder / "teacher")), weights=3)
    stored_run(
        folder / "fog",
        taught(config, str(folder / "teacher")).model_copy(update={"losses": weighted, "seed": 7}),
        weights=4,
    )
    return folder


@pytest.fixture(scope="module")
def made(runs: Path) -> Report:
    folders = [runs / name for name in ("kd", "fog", "alone")]
    return collect(folders, options=ReportOptions(images=6), progress=Silent())


def test_everybody_has_a_part(made: Report) -> None:
    """The teacher is found by the recipe, the student alone by having none; the order is that of the page."""
    parts = [(arm.title, arm.role, arm.teacher) for arm in made.arms]
    assert parts == [
        ("teacher", "teacher", None),
        ("alone", "baseline", None),
        ("kd", "distilled", "teacher"),
        ("fog", "distilled", "teacher"),
    ]


def test_figures_are_what_evaluate_says(made: Report, runs: Path) -> None:
    from foglight.config.build import build_model, build_part, whole_images
    from foglight.engine.evaluate import evaluate

    data = small_config(runs / "data").data
    network = build_model(ModelConfig(name=str(runs / "kd")), num_classes=None)
    expected = evaluate(network, whole_images(build_part(data, "report"), data), class_names=CLASSES)
    raw = made.arm("kd").raw
    assert raw is not None
    assert (raw["miou"], raw["nll"]) == (expected.miou, expected.nll)
    assert kept_share(made, made.arm("kd")) == raw["miou"] / made.arm("teacher").raw["miou"]  # type: ignore[index]


def test_fixed_minus_broken_is_the_gain_in_accuracy(made: Report) -> None:
    """All frames are shown, of one size and without ignored pixels, so the strips must add up to the table."""
    assert len(made.strips) == made.frames
    captions = [picture.caption for strip in made.strips for picture in strip.pictures if "against" in picture.title]
    words = [caption.split() for caption in captions[::2]]
    net = sum(float(fixed) - float(broken) for fixed, _, _, broken, *_ in words) / len(words)
    kd, alone = made.arm("kd").raw, made.arm("alone").raw
    assert kd is not None
    assert alone is not None
    # Captions are rounded to a tenth of a percent.
    assert net == pytest.approx(100 * (kd["pixel_accuracy"] - alone["pixel_accuracy"]), abs=0.11)


def test_the_weight_source_of_the_run_is_ranked_beside_max_prob(made: Report) -> None:
    of = {entry.arm: entry for entry in made.uncertainties}
    assert list(of["fog"].auroc) == ["mc_dropout", "entropy", "1 - max p"]
    assert list(of["kd"].auroc) == ["entropy", "1 - max p"]
    assert (len(of["fog"].strips), len(of["kd"].strips)) == (made.frames, 0)
    raw = made.arm("fog").raw
    assert raw is not None
    assert of["fog"].auroc["1 - max p"] == pytest.approx(raw["error_auroc"]["1 - max p"], abs=1e-6)


def test_an_unfair_difference_is_noted(made: Report) -> None:
    assert any("seed 7 instead of 0" in note for note in made.arm("fog").notes)
    assert not any("differs" in note for note in made.arm("kd").notes)


def test_curves_and_notes_come_from_the_log(made: Report) -> None:
    kd = next(curves for curves in made.curves if curves.arm == "kd")
    assert kd.terms == dict.fromkeys(("total", "ce"), ((1, 1.0), (2, 0.5), (3, 1 / 3)))
    assert kd.tune == ((3, 0.25),)
    assert any("hardly varies" in note for note in made.notes)


def test_two_writes_are_equal_and_the_runs_are_left_alone(runs: Path, tmp_path: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in runs.rglob("*"))
    options = ReportOptions(images=1)
    for name in ("one.html", "two.html"):
        write_report([runs / "alone", runs / "fog"], tmp_path / name, options=options)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert "foglight train &lt;b&gt;x&lt;/b&gt;" in (tmp_path / "one.html").read_text()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in runs.rglob("*")) == before


def test_a_teacher_that_is_gone_leaves_what_the_run_recorded(runs: Path, made: Report, tmp_path: Path) -> None:
    folder = stored_run(tmp_path / "kd", taught(small_config(runs / "data"), "nowhere/teacher"))
    (folder / "result.json").write_text(json.dumps({"teacher": made.arm("teacher").raw}))
    found = collect([folder], options=ReportOptions(images=1), progress=Silent())
    teacher = found.arm("teacher")
    assert teacher.raw == made.arm("teacher").raw
    assert teacher.scaled is None
    assert "could not be loaded" in teacher.notes[0]
    assert [picture.title for picture in found.strips[0].pictures] == ["image", "truth", "kd"]


def test_what_a_run_writes_can_be_reported(runs: Path, tmp_path: Path) -> None:
    """A real run of two steps: its scores are those that it recorded, its log and preflight are on the page."""
    config = taught(small_config(runs / "data"), str(runs / "teacher"))
    config = config.model_copy(update={"budget": BudgetConfig(steps=2), "allow": ("weak-teacher",)})
    result = run(config, tmp_path / "kd")
    found = collect([tmp_path / "kd"], options=ReportOptions(images=1), progress=Silent())
    kd = found.arm("kd")
    assert kd.raw is not None
    assert kd.raw["miou"] == pytest.approx(result.scores["miou"], abs=1e-6)
    assert not any("recorded" in note for note in kd.notes)
    assert {"total", "ce", "kd"} <= found.curves[-1].terms.keys()
    assert "terms" in {title for title, _, _ in found.preflights[0].tables}
    assert any("weak-teacher" in note for note in found.notes)
    render(found)


def test_a_moved_score_is_noted(runs: Path, made: Report, tmp_path: Path) -> None:
    """A result that the student of the folder no longer reaches was made of something else."""
    folder = stored_run(tmp_path / "alone", small_config(runs / "data"), weights=2)
    raw = made.arm("alone").raw
    assert raw is not None
    (folder / "result.json").write_text(json.dumps({"student": {**raw, "miou": 0.9}}))
    found = collect([folder], options=ReportOptions(images=0), progress=Silent())
    assert "was recorded as 90.0 %" in found.arm("alone").notes[0]


def test_a_run_that_taught_another_is_shown_as_its_teacher_only(runs: Path) -> None:
    cast = read_cast([runs / "teacher", runs / "kd"], baseline=None, same_data=True)
    assert [teacher.title for teacher in cast.teachers] == ["teacher"]
    assert (list(cast.runs), cast.baseline) == (["kd"], None)


def test_a_baseline_may_be_the_teacher_itself(runs: Path) -> None:
    """Self-distillation: the student alone taught the student; it has a column of each kind."""
    cast = read_cast([runs / "kd"], baseline=runs / "teacher", same_data=True)
    assert [teacher.title for teacher in cast.teachers] == ["teacher (teacher)"]
    assert (list(cast.runs), cast.baseline) == (["teacher", "kd"], "teacher")


def test_folders_of_one_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    other = stored_run(tmp_path / "other" / "kd", small_config(runs / "data"))
    cast = read_cast([runs / "kd", other], baseline=None, same_data=True)
    assert list(cast.runs) == [f"{other.parent.name}/kd", f"{runs.name}/kd"]


def test_other_data_can_be_named_for_all(runs: Path, tmp_path: Path) -> None:
    bigger = small_config(runs / "data")
    bigger = bigger.model_copy(update={"data": bigger.data.model_copy(update={"size": (48, 64)})})
    other = stored_run(tmp_path / "other", bigger)
    with pytest.raises(UserError, match=r"scored on different data: data\.size"):
        read_cast([runs / "alone", other], baseline=None, same_data=True)
    assert len(read_cast([runs / "alone", other], baseline=None, same_data=False).runs) == 2
