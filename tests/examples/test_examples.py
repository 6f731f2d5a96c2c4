"""Does every example run and learn, as a reader would run it?"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, name, module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["bare_loop", "lightning_module", "transformers_trainer"])
def test_the_total_falls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "transformers_trainer":
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    totals = load(name, monkeypatch).main()
    assert len(totals) == 20
    assert sum(totals[-3:]) < sum(totals[:3])
