"""Dotted overrides: `optim.lr=0.01` and `losses.0.weight=2` change a recipe from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from foglight.config.mistakes import Mistake
from foglight.config.yaml_text import parse_yaml
from foglight.errors import ConfigurationError

# Sections that may be written as their name alone; an override below one starts from its long form.
_SHORT_FORM_KEY = "name"


@final
@dataclass(frozen=True)
class Override:
    """One change of a recipe.

    Attributes:
        keys: from the top of the recipe down; positions in a list are digits.
        value: as YAML reads it.
    """

    keys: tuple[str, ...]
    value: Any

    @property
    def place(self) -> str:
        """The keys as they are written."""
        return ".".join(self.keys)


def parse_override(text: str) -> Override | Mistake:
    """Split `key.key=value`.

    >>> parse_override("optim.lr=1e-3")
    Override(keys=('optim', 'lr'), value=0.001)
    >>> str(parse_override("optim.lr"))
    "'optim.lr': expected key=value, for example optim.lr=0.01"
    """
    left, equals, right = text.partition("=")
    keys = tuple(left.strip().removeprefix("--").split("."))
    if not equals or not all(keys):
        return Mistake(repr(text), "expected key=value, for example optim.lr=0.01")
    try:
        return Override(keys, parse_yaml(right, source=repr(text)))
    except ConfigurationError:
        return Mistake(repr(text), f"the value {right!r} is not valid YAML (quote it if it is meant as text)")


def apply_override(content: dict[str, Any], override: Override) -> Mistake | None:
    """Change `content` in place; sections that are absent are made on the way.

    >>> recipe = {"student": "lite_s", "losses": ["cross_entropy", "kd"]}
    >>> apply_override(recipe, Override(("losses", "1", "weight"), 2))
    >>> apply_override(recipe, Override(("student", "pretrained"), True))
    >>> recipe["losses"][1], recipe["student"]
    ({'name': 'kd', 'weight': 2}, {'name': 'lite_s', 'pretrained': True})
    """
    node: Any = content
    for depth, key in enumerate(override.keys):
        last = depth == len(override.keys) - 1
        place = ".".join(override.keys[: depth + 1])
        match node:
            case dict():
                node[key] = override.value if last else _section(node.get(key))
                node = node[key]
            case list() if key.isdecimal() and int(key) < len(node):
                node[int(key)] = override.value if last else _section(node[int(key)])
                node = node[int(key)]
            case list():
                return Mistake(place, f"expected a position {_positions(node)}, got {key!r}")
            case _:
                return Mistake(place, f"there is nothing below {'.'.join(override.keys[:depth])}, which is {node!r}")
    return None


def _section(value: Any) -> Any:
    if value is None:
        return {}
    return {_SHORT_FORM_KEY: value} if isinstance(value, str) else value


def _positions(items: Sequence[Any]) -> str:
    return f"0 to {len(items) - 1}" if items else "in a list that is not empty"
