"""Do the listings print clean JSON on stdout and their messages on stderr?"""

import json
from typing import Any

import pytest

from foglight.cli import run
from foglight.config.load import recipe_names
from foglight.config.presets import method_names
from foglight.data.registry import dataset_names
from foglight.models.registry import model_names


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("foglight ")
    content: dict[str, Any] = json.loads(captured.out)
    return content


def test_lists_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "methods")["methods"] == method_names()
    assert listed(capsys, "models")["models"] == list(model_names())
    assert listed(capsys, "data")["data"] == list(dataset_names())
    assert list(listed(capsys, "recipes")["recipes"]) == recipe_names()


@pytest.mark.parametrize(
    "arguments",
    [
        ["methods"],
        ["models"],
        ["data"],
        ["recipes"],
        ["version"],
        ["methods", "fotf"],
        ["models", "lite_s"],
        ["data", "camvid"],
        ["recipes", "camvid_lite_kd"],
    ],
)
def test_a_listing_for_people_has_the_banner_first(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"foglight 0.1.0  {' '.join(arguments)}"
    assert len(lines) > 1


def test_parameter_counts_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = (listed(capsys, "models", "lite_s", "--classes", str(classes)) for classes in (5, 6))
    parts = dict(few["parameters"])
    assert parts.pop("total") == sum(parts.values())
    # One more class is one more 1x1 filter of 32 channels and its bias, in the classifier alone.
    assert many["parameters"]["total"] - few["parameters"]["total"] == 32 + 1


def test_a_method_is_expanded_for_data_and_student(capsys: pytest.CaptureFixture[str]) -> None:
    content = listed(capsys, "methods", "fotf", "--data", "camvid", "--student", "pspnet_r18")
    assert [term["pixel_weight"]["kappa"] for term in content["terms"]] == [2.0, 2.0]
    assert set(content["cards"]) == {"cross_entropy", "kd"}


def test_methods_are_listed_with_how_far_they_are_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    tiers = listed(capsys, "methods")["tiers"]
    assert set(tiers) == set(method_names())
    assert (tiers["kd"], tiers["cud"], tiers["skd"], tiers["fotf"]) == (
        "recommended",
        "supported",
        "for comparison",
        "weighting",
    )


def test_a_method_is_printed_with_its_card_constants_and_published_differences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["methods", "cirkd"]) == 0
    said = capsys.readouterr().out
    for part in ("tier      supported", "equation", "cost", "memory_pixel 0.1", "lambda_memory_pixel", "voc"):
        assert part in said


def test_a_recipe_is_printed_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    run(["recipes", "camvid_lite_kd"])
    assert "# Command   foglight distill camvid_lite_kd" in capsys.readouterr().out
    assert listed(capsys, "recipes", "camvid_lite_kd")["config"]["budget"]["steps"] == 700
