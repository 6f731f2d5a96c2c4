"""Do the scripts beside LIX's studies read a finished study, and say in one line what they cannot read?"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from foglight.study import timing
from foglight.study.study import run_study

SCRIPTS = Path(__file__).parents[2] / "results" / "lix"
STUDY = {
    "title": "Tiny LIX",
    "set": {
        "data.size": [32, 64],
        "data.options.frames": 4,
        "data.options.towns": 2,
        "data.augment.crop": [32, 32],
        "data.batch_size": 2,
        "budget.steps": 2,
        "engine.device": "cpu",
        "engine.log_every": 1,
        "engine.tensorboard": False,
        "preflight": False,
    },
    "teachers": {"rgbd": {"recipe": "fogtown_lix_mfnet_teacher"}},
    "student": {"recipe": "fogtown_lix_mfnet_student", "set": {"engine.evaluate_every": 1}},
    "seeds": [0],
    "arms": {"ce": {"method": "ce", "teacher": "rgbd"}, "lix": {"method": "lix", "teacher": "rgbd"}},
    "comparisons": [{"arm": "lix", "against": "ce"}],
}


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield {name: import_module(name) for name in ("regions", "figures")}
    # Only the scripts: a module that is imported twice has every class twice.
    for name in ("regions", "figures", "finished"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_regions_and_figures_of_a_finished_study(
    scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No arm is matched in time, so what a step costs is of no interest here.
    monkeypatch.setattr(timing, "WARM_UP", 0)
    monkeypatch.setattr(timing, "TIMED", 1)
    file, folder, output = tmp_path / "study.yaml", tmp_path / "out", tmp_path / "figures"
    file.write_text(yaml.safe_dump(STUDY))
    run_study(file, folder)
    assert scripts["regions"].main([str(file), str(folder), "--output", str(output)]) == 0
    record = json.loads((output / "regions.json").read_text())
    pixels = record["pixels"]
    assert pixels["near"] + pixels["far"] == pixels["clear"] + pixels["foggy"]
    # The sky is in no region.
    assert 0 < pixels["near"] + pixels["far"] < 4 * 32 * 64
    assert {one["region"] for one in record["differences"]} >= {"near", "far", "clear", "foggy"}
    assert all(one["seeds"] == 1 for one in record["differences"])
    assert scripts["figures"].main([str(file), str(folder), "--output", str(output), "--class", "road"]) == 0
    curves = json.loads((output / "curves.json").read_text())
    assert set(curves["cka"]["cka.stage5"]) == {"ce", "lix"}
    assert list(curves["cka"]["cka.stage5"]["ce"]) == ["1", "2"]
    assert set(curves["beta"]["beta_q90"]) == {"lix"}
    assert {path.name for path in output.glob("*.png")} == {"cka.png", "beta.png", "probability_road.png"}
    assert scripts["figures"].main([str(file), str(folder), "--output", str(output), "--class", "tram"]) == 2


@pytest.mark.parametrize("name", ["regions", "figures"])
def test_a_folder_without_a_study_is_one_line(
    name: str, scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripts[name].main([str(SCRIPTS / "beta.yaml"), str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())
