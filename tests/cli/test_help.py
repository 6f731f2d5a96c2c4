"""Does every command explain itself, quickly, without importing anything heavy?"""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from foglight.cli import app

COMMANDS = (
    "demo",
    "check-data",
    "train",
    "distill",
    "evaluate",
    "calibrate",
    "predict",
    "methods",
    "models",
    "taps",
    "data",
    "fetch-data",
    "make-depth",
    "recipes",
    "version",
)
HEAVY = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "matplotlib", "numpy")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert command in result.output


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert [command for command in COMMANDS if command not in output] == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["recipes"], ["train", "nosuch"]])
def test_nothing_heavy_is_imported_for_words(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom foglight.cli import run\n"
        f"run({arguments!r})\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_first_line_is_printed_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys, builtins\nfrom foglight.commands.output import Output\n"
        "say = Output.say\n"
        "def first(self, text=''):\n"
        f"    print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
        "    Output.say = say\n"
        "    say(self, text)\n"
        "Output.say = first\n"
        "from foglight.cli import run\nrun(['evaluate', 'no_such_run'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:2] == ["loaded: []", "foglight 0.1.0  evaluate no_such_run"]
