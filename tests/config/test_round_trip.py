"""Does a dumped configuration come back exactly, whatever its values look like?"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foglight.config.load import build_config, dump_config, load_recipe, parse_config, read_config, recipe_names
from foglight.config.schema import OptimConfig, RunConfig
from foglight.config.yaml_text import parse_yaml, write_yaml

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# What YAML itself cannot hold: surrogates, control characters, other line ends, byte-order marks, non-characters.
forbidden = "\u0085\u2028\u2029\ufeff\ufffe\uffff"
text = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters=forbidden))
content = st.recursive(plain | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8)


@given(content)
def test_yaml_round_trip_is_exact(value: object) -> None:
    assert parse_yaml(write_yaml(value), source="test") == value


@pytest.mark.parametrize(
    "word", ["1e-4", "on", "no", "null", "true", "01", "1:30", "2026-01-01", "~", "", ".inf", "a: b"]
)
def test_words_that_look_like_something_else_stay_words(word: str) -> None:
    config = build_config({"student": "lite_s", "data": {"name": word, "options": {"x": word}}})
    assert parse_config(dump_config(config)) == config
    assert config.data.name == word


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers())
def test_numbers_come_back_bit_for_bit(lr: float, seed: int) -> None:
    config = RunConfig(student={"name": "lite_s"}, optim=OptimConfig(lr=lr), seed=seed)  # type: ignore[arg-type]
    assert parse_config(dump_config(config)) == config


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_comes_back_from_a_run_folder(name: str, tmp_path: Path) -> None:
    config = load_recipe(name)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert read_config(path) == config
    assert load_recipe(path) == config


def test_a_label_map_keeps_its_whole_numbers() -> None:
    config = build_config({"student": "lite_s", "data": {"options": {"map": {0: 1, 255: 0}}}})
    assert parse_config(dump_config(config)) == config


def test_a_dump_is_complete() -> None:
    dumped = parse_yaml(dump_config(build_config({"student": "lite_s"})), source="test")
    assert set(dumped) == set(RunConfig.model_fields)
    assert set(dumped["optim"]) == set(OptimConfig.model_fields)
