"""What is wrong with a recipe, one line per mistake, each with its place, what was expected and what was got."""

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from foglight.errors import ConfigurationError
from foglight.spelling import did_you_mean

# What pydantic's kinds of error expect, in a user's words; {} is filled from the error's context.
_EXPECTED: Final = {
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "literal_error": "{expected}",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "none_required": "null",
}
_LONGEST_VALUE: Final = 60


@final
@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        place: dotted keys in the recipe.
        problem: in words.
    """

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


def configuration_error(source: str, mistakes: Sequence[Mistake]) -> ConfigurationError:
    """All mistakes in one error: one line if there is one mistake, else one line each below a line that counts them."""
    remedy = f"correct {'it' if len(mistakes) == 1 else 'them'} in the recipe or on the command line"
    if len(mistakes) == 1:
        return ConfigurationError(f"{source}: {mistakes[0]} (1 error)", remedy=remedy)
    lines = [f"{source}: {len(mistakes)} errors", *(f"  {mistake}" for mistake in mistakes), "Nothing was started"]
    return ConfigurationError("\n".join(lines), remedy=remedy)


def validation_mistakes(error: ValidationError, content: Any, model: type[BaseModel]) -> list[Mistake]:
    """Pydantic's errors as mistakes; the branches of a union that all failed at one place become one mistake."""
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_place.setdefault(_place(detail, content), []).append(detail)
    return [Mistake(place or "the recipe", _problem(place, details, model)) for place, details in by_place.items()]


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """The question whether a known word was meant, as the end of a sentence; or nothing.

    >>> suggestion("lrr", ["lr", "momentum"])
    "; did you mean 'lr'?"
    """
    question = did_you_mean(wrong, right)
    return f"; {question}" if question else ""


def _place(detail: ErrorDetails, content: Any) -> str:
    """The error's location without pydantic's names for the branches of a union: only keys that the recipe has."""
    keys: list[str] = []
    node = content
    for part in detail["loc"]:
        # The long form of `student: lite_s` has a key that the recipe does not.
        missing = detail["type"] == "missing" and part == detail["loc"][-1]
        if isinstance(node, dict) and part in node:
            node = typing.cast(dict[Any, Any], node)[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(typing.cast(list[Any], node)):
            node = typing.cast(list[Any], node)[part]
        elif not missing:
            continue
        keys.append(str(part))
    return ".".join(keys)


def _problem(place: str, details: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    first = details[0]
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key{_similar_key(place, model)}"
        case "missing":
            return "expected a value, got none"
        case "value_error":
            return first["msg"].removeprefix("Value error, ")
        case _:
            expected = dict.fromkeys(_expected(detail) for detail in details if detail["type"] in _EXPECTED)
            if not expected:
                return first["msg"]
            value = first["input"]
            options = typing.cast(str, first.get("ctx", {}).get("expected", ""))
            meant = (
                suggestion(value, options.replace("'", "").replace(" or ", ", ").split(", "))
                if (isinstance(value, str))
                else ""
            )
            return f"expected {' or '.join(expected)}, got {_short(value)}{meant}"


def _expected(detail: ErrorDetails) -> str:
    return _EXPECTED[detail["type"]].format(**detail.get("ctx", {}))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _similar_key(place: str, model: type[BaseModel]) -> str:
    """A key of the same section that looks alike, else the place elsewhere in the recipe that has this very key."""
    *section, wrong = place.split(".")
    siblings = _keys_at(model, section)
    meant = suggestion(wrong, siblings)
    if meant:
        return meant
    elsewhere = [dotted for dotted in _dotted_keys(model) if dotted.split(".")[-1] == wrong]
    if elsewhere:
        return f"; did you mean {elsewhere[0]!r}?"
    return f"; there are {', '.join(siblings)}" if siblings else ""


def _keys_at(model: type[BaseModel], section: Sequence[str]) -> list[str]:
    for key in section:
        if key.isdecimal():
            continue
        below = _models_in(model.model_fields[key].annotation) if key in model.model_fields else []
        if not below:
            return []
        model = below[0]
    return list(model.model_fields)


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        for below in _models_in(field.annotation):
            keys.extend(_dotted_keys(below, f"{prefix}{name}."))
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation names: in a union, a tuple, or by itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
