"""Small runs that take a second or two."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foglight.config.schema import RunConfig
from tiny_runs import tiny_config


@pytest.fixture
def config() -> Callable[..., RunConfig]:
    return tiny_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
