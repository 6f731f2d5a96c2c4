"""Do dotted overrides change exactly what they name, with values read as YAML?"""

from typing import Any

import pytest

from foglight.config.load import build_config
from foglight.config.schema import LossConfig, Schedule

RECIPE = {"student": "lite_s", "teacher": {"name": "t"}, "losses": ["cross_entropy", {"name": "kd", "weight": 1}]}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optim.lr=0.01", "optim.lr", 0.01),
        ("optim.lr=1e-3", "optim.lr", 1e-3),
        ("optim.lr=1", "optim.lr", 1.0),
        ("seed=3", "seed", 3),
        ("student=lite_m", "student.name", "lite_m"),
        ("student.name=lite_m", "student.name", "lite_m"),
        ("student.pretrained=true", "student.pretrained", True),
        ("data.size=[144, 192]", "data.size", (144, 192)),
        ("data.root=null", "data.root", None),
        ("data.root=a=b", "data.root", "a=b"),
        ("budget={seconds: 5}", "budget.seconds", 5.0),
        ("data.options.on=no", "data.options", {"on": "no"}),
        ("--optim.lr=0.5", "optim.lr", 0.5),
    ],
)
def test_an_override_changes_what_it_names(override: str, path: str, value: Any) -> None:
    node: Any = build_config(RECIPE, [override])
    for key in path.split("."):
        node = getattr(node, key)
    assert node == value


def test_an_override_reaches_into_lists_and_short_forms() -> None:
    config = build_config(RECIPE, ["losses.0.options.label_smoothing=0.1", "losses.1.weight={kind: decay, value: 2}"])
    assert config.losses == (
        LossConfig(name="cross_entropy", options={"label_smoothing": 0.1}),
        LossConfig(name="kd", weight=Schedule(kind="decay", value=2.0)),
    )


def test_later_overrides_win_and_the_recipe_stays_untouched() -> None:
    content = {"student": "lite_s", "optim": {"lr": 0.1}}
    assert build_config(content, ["optim.lr=0.2", "optim.lr=0.3"]).optim.lr == 0.3
    assert content == {"student": "lite_s", "optim": {"lr": 0.1}}


def test_the_default_losses_can_be_overridden() -> None:
    assert build_config({"student": "lite_s"}, ["losses.0.weight=2"]).losses[0].weight == 2.0


def test_an_override_of_a_methods_terms_is_laid_over_the_preset_and_says_so() -> None:
    plain = build_config({"student": "lite_s", "teacher": "t", "method": "kd"})
    changed = build_config({"student": "lite_s", "teacher": "t", "method": "kd"}, ["losses.1.options.temperature=4"])
    assert (plain.method, changed.method) == ("kd", None)
    assert changed.losses[0] == plain.losses[0]
    assert changed.losses[1].options == {"temperature": 4}


def test_a_mapping_of_weights_by_term_is_told_from_a_schedule() -> None:
    by_term = build_config(RECIPE, ["losses.1.weight={kd: 0.5, other: {value: 2}}"]).losses[1].weight
    assert by_term == {"kd": 0.5, "other": Schedule(value=2.0)}
