"""Are the pages of `docs/methods` what their cards, signatures and presets say today?"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from foglight.config.presets import method_names
from foglight.losses.registry import loss_class, loss_names, loss_options

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_methods", DOCS / "generate_methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(generator: ModuleType, tmp_path: Path) -> None:
    fresh = {path.name: path.read_text(encoding="utf-8") for path in generator.write_pages(tmp_path)}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "methods").glob("*.md")}
    stale = sorted(name for name in {*fresh, *kept} if fresh.get(name) != kept.get(name))
    assert not stale, "run `python docs/generate_methods.py`"


@pytest.mark.parametrize("name", loss_names())
def test_a_page_says_what_every_option_is_and_which_tests_prove_it(name: str, generator: ModuleType) -> None:
    text = generator.page(name)
    for option in loss_options(loss_class(name)):
        assert f"| `{option}` |" in text
    assert "tests/degenerate/" in text
    assert "## Presets with it\n\n-" in text or name == "cross_entropy"


def test_the_index_lists_every_loss_and_preset(generator: ModuleType) -> None:
    text = generator.index()
    assert all(f"({name}.md)" in text for name in loss_names())
    assert all(f"`{name}`" in text for name in method_names())
