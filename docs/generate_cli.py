"""Write `docs/cli.md`: every command with its arguments, options and defaults, read from the commands themselves.

    python docs/generate_cli.py [FILE]

A test regenerates the page and compares; after changing a command, run this and keep what it wrote.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from foglight.cli import app

PAGE: Final = Path(__file__).resolve().parent / "cli.md"
INTRODUCTION: Final = """# Command line

`foglight COMMAND --help` says the same in the terminal. `--debug` anywhere on the line shows the traceback of an error.
What you can mend is one line on stderr and exit code 2; a command that was interrupted goes on when it is given again.
With `--json` the result is JSON on stdout and the messages go to stderr. Written by `python docs/generate_cli.py`."""


def page() -> str:
    """All commands in the order of `foglight --help`."""
    commands = [command.callback for command in app.registered_commands if command.callback is not None]
    contents = "\n".join(f"- [`{_name(one)}`](#foglight-{_name(one)}): {_summary(one)}" for one in commands)
    return "\n\n".join([INTRODUCTION, contents, *map(command_section, commands)]) + "\n"


def command_section(command: Callable[..., Any]) -> str:
    """One command: its words, then a table of what may be given."""
    hints = get_type_hints(command, include_extras=True)
    given = [(one, *get_args(hints[name])[:2]) for name, one in inspect.signature(command).parameters.items()]
    arguments = [_argument_row(*each) for each in given if isinstance(each[2], ArgumentInfo)]
    options = [_option_row(*each) for each in given if isinstance(each[2], OptionInfo)]
    words = " ".join([f"foglight {_name(command)}", *(row[0].strip("`") for row in arguments), "[OPTIONS]"])
    parts = [f"## foglight {_name(command)}", _summary(command), f"```text\n{words}\n```"]
    if arguments or options:
        parts.append(_table(("argument or option", "default", "what it is"), [*arguments, *options]))
    return "\n\n".join(parts)


def _argument_row(parameter: inspect.Parameter, _kind: object, info: ArgumentInfo) -> tuple[str, str, str]:
    return f"`{info.metavar or parameter.name.upper()}`", _default(parameter), info.help or ""


def _option_row(parameter: inspect.Parameter, kind: object, info: OptionInfo) -> tuple[str, str, str]:
    # Inside Annotated, typer takes the first name for a default and moves it later.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    value = info.metavar or _value(kind)
    written = f"{', '.join(names)} {value}".strip()
    return f"`{written}`", _default(parameter), info.help or ""


def _value(kind: object) -> str:
    """What stands behind an option: nothing behind a switch."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    return {bool: "", str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}[kind]  # pyright: ignore[reportArgumentType]


def _default(parameter: inspect.Parameter) -> str:
    match parameter.default:
        case inspect.Parameter.empty:
            return "required"
        case None | "":
            return ""
        case bool() as switch:
            return "on" if switch else "off"
        case value:
            return f"`{value}`"


def _name(command: Callable[..., Any]) -> str:
    return command.__name__.replace("_", "-")


def _summary(command: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    file.write_text(page(), encoding="utf-8")
    print(file)
