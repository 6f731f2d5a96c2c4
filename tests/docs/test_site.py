"""Is the site built offline, without a warning, and are its generated pages what the code says today?"""

import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_group
from typer.testing import CliRunner

import foglight
from docs.pages import DOCS, ROOT
from foglight.cli import app


def generator(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli", "api"])
def test_a_generated_page_is_up_to_date(name: str) -> None:
    kept = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert generator(f"generate_{name}").page() == kept, f"run `python docs/generate_{name}.py`"


def test_the_command_line_page_names_every_option() -> None:
    """Read off typer's own help, not off the signatures that the page is made from."""
    text = generator("generate_cli").page()
    sections = dict(re.findall(r"^## foglight ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    names = sorted(get_group(app).commands)
    assert sorted(sections) == names
    for name in names:
        said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        options = {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", said)} - {"--help"}
        assert [option for option in sorted(options) if option not in sections[name]] == []


def test_the_python_page_says_something_of_every_public_name() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in foglight.__all__:
        assert re.search(rf"^## {name}\n\nIn `[\w.]+`\.\n\n```text\n{name}\(.*?^```\n\n\w", text, re.M | re.S), name


def test_links_are_rewritten_as_the_hook_says() -> None:
    assert doctest.testmod(generator("site_files")) == doctest.TestResults(failed=0, attempted=2)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_reads_nothing_from_the_network(tmp_path: Path) -> None:
    # Not --quiet, under which --strict sees no warning.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"ten_minutes.html", "cli.html", "api.html", "house.html"} <= {page.name for page in pages}
    assert (tmp_path / "site" / "methods" / "kd.html").is_file()
    # A link that a reader follows is no load; a script, a style sheet or a picture is.
    loads = re.compile(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""")
    assert [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []
