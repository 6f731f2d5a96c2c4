"""One finished study for all tests that only look at it."""

from pathlib import Path

import pytest

from foglight.study.study import run_study
from study.builders import tiny_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of the tiny study, and its folder after a whole run; not to be changed."""
    file = tiny_study(tmp_path_factory.mktemp("study"))
    folder = file.parent / "out"
    run_study(file, folder)
    return file, folder
