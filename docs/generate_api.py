"""Write `docs/api.md`: every public name of `import foglight as fl`, with its signature and its docstring.

    python docs/generate_api.py [FILE]

A test regenerates the page and compares; after changing a public name, run this and keep what it wrote.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

import foglight

PAGE: Final = Path(__file__).resolve().parent / "api.md"
INTRODUCTION: Final = """# Python

Everything public stands in `foglight` itself (`import foglight as fl`); nothing heavy is imported before it is used.
Signatures carry shapes: `b k H W` is batch, class, height, width. Written by `python docs/generate_api.py`."""
LONGEST_LINE: Final = 100
HEADINGS: Final = ("Args", "Attributes", "Raises", "Returns", "Yields")


def page() -> str:
    """All names, functions first."""
    names = sorted(foglight.__all__, key=lambda name: (inspect.isclass(getattr(foglight, name)), name.lower()))
    contents = "\n".join(f"- [`{name}`](#{name.lower()}): {_first_line(name)}" for name in names)
    return "\n\n".join([INTRODUCTION, contents, *map(section, names)]) + "\n"


def section(name: str) -> str:
    """One name: where it lives, how it is called, what it says, and its public methods."""
    thing = getattr(foglight, name)
    parts = [f"## {name}", f"In `{thing.__module__}`.", f"```text\n{_call(name, thing)}\n```", _described(thing)]
    if inspect.isclass(thing):
        parts += [_method(name, each, value) for each, value in _methods(thing)]
    return "\n\n".join(part for part in parts if part)


def _methods(thing: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(thing).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield name, value


def _method(owner: str, name: str, value: Any) -> str:
    call = f"{owner}.{name}" if isinstance(value, property) else _call(f"{owner}.{name}", value)
    return f"```text\n{call}\n```\n\n{_described(value)}"


def _call(name: str, thing: Any) -> str:
    """As one would type it; one argument per line where the line would be long."""
    signature = inspect.signature(thing)
    if isinstance(thing, type):
        signature = signature.replace(return_annotation=inspect.Signature.empty)
    given = list(_words(thing, signature))
    result = signature.return_annotation
    arrow = "" if result is inspect.Signature.empty else f" -> {_kind(result)}"
    line = f"{name}({', '.join(given)}){arrow}"
    if len(line) <= LONGEST_LINE:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in given) + f"){arrow}"


def _words(thing: Any, signature: inspect.Signature) -> Iterator[str]:
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            yield "*"
        default = parameter.default
        if isinstance(thing, type) and issubclass(thing, BaseModel):
            default = _field_default(thing, parameter.name)
        kind = "" if parameter.annotation is parameter.empty else f": {_kind(parameter.annotation)}"
        yield f"{parameter.name}{kind}{'' if default is parameter.empty else f' = {_written(default)}'}"


def _field_default(thing: type[BaseModel], name: str) -> object:
    field = thing.model_fields[name]
    return inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)


def _written(value: object) -> str:
    return f"{type(value).__name__}()" if isinstance(value, BaseModel) else _short(repr(value))


def _kind(annotation: Any) -> str:
    """A type as one would write it, without what pydantic adds to it."""
    if isinstance(annotation, str):
        return annotation
    inside = get_args(annotation)
    match get_origin(annotation):
        case None:
            return _short(inspect.formatannotation(annotation))
        case origin if origin is Annotated:
            return _kind(inside[0])
        case origin if origin in (Union, UnionType):
            return " | ".join("None" if one is type(None) else _kind(one) for one in inside)
        case origin if origin is Literal or not inside or isinstance(inside[0], list):
            return _short(inspect.formatannotation(annotation))
        case origin:
            return f"{origin.__name__}[{', '.join('...' if one is ... else _kind(one) for one in inside)}]"


def _short(text: str) -> str:
    """Without the modules of names that are plain by themselves."""
    return re.sub(r"\b(?:foglight|torch|pathlib|collections|typing|jaxtyping)(?:\.\w+)*\.(?=[A-Za-z])", "", text)


def _first_line(name: str) -> str:
    return (inspect.getdoc(getattr(foglight, name)) or "").partition("\n")[0]


def _described(thing: Any) -> str:
    """A Google docstring as Markdown: its sections become lists."""
    blocks = (inspect.getdoc(thing) or "").split("\n\n")
    return "\n\n".join(map(_block, blocks))


def _block(block: str) -> str:
    heading, _, rest = block.partition("\n")
    if heading.rstrip(":") in HEADINGS and heading.endswith(":"):
        entries = re.findall(r"^ {4}(\S[^:]*): (.*(?:\n {8}.*)*)", rest, flags=re.MULTILINE)
        return f"{heading}\n\n" + "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in entries)
    if block.startswith((">>>", "    ")):
        return f"```text\n{inspect.cleandoc(block)}\n```"
    return block


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    file.write_text(page(), encoding="utf-8")
    print(file)
