"""Is every mistake in a recipe reported, at once, with its place, what was expected and what was got?"""

from pathlib import Path
from typing import Any

import pytest

from foglight.config.load import build_config, find_recipe, load_recipe, read_config
from foglight.errors import ConfigurationError

ONE_BUDGET = "budget: expected exactly one of steps, samples, seconds"


def message(content: Any, *overrides: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        build_config(content, overrides, source="recipe.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"optim": {"lrr": 0.1}}, "optim.lrr: unknown key; did you mean 'lr'?"),
        ({"lr": 0.1}, "lr: unknown key; did you mean 'optim.lr'?"),
        ({"optim": {"lr": "fast"}}, "optim.lr: expected a number, got 'fast'"),
        ({"optim": {"lr": "0.1"}}, "optim.lr: expected a number, got '0.1'"),
        ({"optim": {"lr": 0}}, "optim.lr: expected a number > 0, got 0"),
        ({"optim": {"name": "adam"}}, "optim.name: expected 'sgd' or 'adamw', got 'adam'; did you mean 'adamw'?"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"engine": {"fast": 1}}, "engine.fast: expected true or false, got 1"),
        ({"engine": []}, "engine: expected a mapping (key: value), got []"),
        ({"budget": {"steps": 1, "seconds": 2}}, f"{ONE_BUDGET}; got steps, seconds"),
        ({"budget": {}}, f"{ONE_BUDGET}; got none"),
        ({"data": {"size": [144]}}, "data.size.1: expected a value, got none"),
        ({"data": {"augment": {"scale": [2, 1]}}}, "data.augment: expected scale: [smallest, largest], got [2.0, 1.0]"),
        ({"losses": [{"weight": 1}]}, "losses.0.name: expected a value, got none"),
        ({"losses": [{"name": "kd", "weight": "x"}]}, "losses.0.weight: expected a number, got 'x'"),
        (
            {"losses": [{"name": "kd", "weight": {"valu": 1, "kind": "decay"}}]},
            "losses.0.weight.valu: unknown key; did you mean 'value'?",
        ),
        ({"losses": [{"name": "kd", "weight": {"ce": "x"}}]}, "losses.0.weight.ce: expected a number, got 'x'"),
        (
            {"losses": [{"name": "kd", "pixel_weight": {"kapa": 1}}]},
            "losses.0.pixel_weight.kapa: unknown key; did you mean 'kappa'?",
        ),
        (
            {"student": {"name": "x", "normalisation": 3}},
            "student.normalisation: expected 'imagenet' or 'none' or a mapping (key: value), got 3",
        ),
    ],
)
def test_each_mistake_names_its_place_and_what_was_expected(content: dict[str, Any], line: str) -> None:
    assert message({"student": "lite_s", **content}).startswith(f"recipe.yaml: {line} (1 error). To mend it: ")


def test_a_single_mistake_is_one_line() -> None:
    assert "\n" not in message({"student": "lite_s", "optim": {"lr": -1}})


def test_all_mistakes_are_reported_at_once_and_counted() -> None:
    content = {"student": "lite_s", "optim": {"lrr": 1, "momentum": 2}, "bugdet": {"steps": 3}}
    lines = message(content, "engine.devices=0", "no_equals_sign", "losses.7.weight=1").splitlines()
    assert lines[0] == "recipe.yaml: 6 errors"
    places = {line.strip().split(":")[0] for line in lines[1:-1]}
    assert places == {"'no_equals_sign'", "losses.7", "optim.lrr", "optim.momentum", "bugdet", "engine.devices"}
    assert lines[-1].startswith("Nothing was started. To mend it: ")


def test_a_missing_student_is_reported() -> None:
    assert "student: expected a value, got none" in message({})


@pytest.mark.parametrize("content", [[1, 2], "text", 3])
def test_a_recipe_that_is_no_mapping_is_refused(content: Any) -> None:
    assert "expected a mapping (key: value), got" in message(content)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("student: lite_s\noptim: {lr: 0.1\n", ":3: not valid YAML"),
        ("student: a\nseed: 1\nstudent: b\n", ":3: not valid YAML: the key 'student' twice"),
        ("a: &b\n  - c\n d: e\n", ":3: not valid YAML"),
        ("student: \x01\n", ": not valid YAML"),
        ("? [a]\n: b\n", ":1: not valid YAML: found unhashable key"),
    ],
)
def test_a_syntax_error_names_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}{problem}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"student: \xff\xfe")
    with pytest.raises(ConfigurationError, match=r"recipe\.yaml: not text in UTF-8 \(byte 9\)"):
        read_config(path)


def test_an_unknown_recipe_suggests_a_known_one() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'camvid_lite_kd'"):
        find_recipe("camvid_lit_kd")
