"""Does everything that a recipe or a preset names exist?"""

import itertools

import pytest

from foglight.config.load import find_recipe, load_recipe, recipe_names
from foglight.config.presets import load_method, method_names, overlay_names
from foglight.data.registry import dataset_names, option_names
from foglight.losses.base import PixelLoss
from foglight.losses.registry import loss_class, loss_names, loss_options
from foglight.models.registry import model_names, model_options

PLAIN = sorted(set(method_names()) - set(overlay_names()))
PRESETS = [*method_names(), *("+".join(pair) for pair in itertools.product(PLAIN, overlay_names()))]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_names_what_exists(name: str) -> None:
    config = load_recipe(name)
    assert config.student.name in model_names()
    assert set(config.student.options) <= set(model_options(config.student.name))
    assert config.data.name in dataset_names()
    assert set(config.data.options) <= set(option_names(config.data.name))
    assert {loss.name for loss in config.losses} <= set(loss_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_reads_another_run_says_which_recipe_made_it(name: str) -> None:
    teacher = load_recipe(name).teacher
    if teacher is not None:
        folder, _, stem = teacher.name.partition("/")
        assert folder == "runs"
        assert stem in recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_its_command_cost_and_source(name: str) -> None:
    header = [line for line in find_recipe(name).read_text().splitlines() if line.startswith("# ")]
    command = next(line for line in header if line.startswith("# Command   "))
    verb = "train" if load_recipe(name).teacher is None else "distill"
    assert command.startswith(f"# Command   foglight {verb} {name}")
    assert any(line.startswith("# Cost      ") for line in header)
    assert any(line.startswith("# Source    ") for line in header)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_losses_and_options_that_exist(name: str) -> None:
    for term in load_method(name).terms:
        loss = loss_class(term.name)
        assert set(term.options) <= set(loss_options(loss))
        assert term.pixel_weight is None or issubclass(loss, PixelLoss)
