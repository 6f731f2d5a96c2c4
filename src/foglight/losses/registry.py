"""Losses by name: the file's stem is the name, its constructor's signature is the schema of its options.

A file in one of the family folders defines exactly one `DistillationLoss`. Other packages add theirs through the
entry-point group `foglight.losses`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from foglight.errors import ConfigurationError
from foglight.losses.base import DistillationLoss
from foglight.spelling import did_you_mean, known_words
from foglight.types import ModelInfo

FAMILIES: Final = ("task", "logits", "features", "relations", "contrastive", "adversarial")
ENTRY_POINT_GROUP: Final = "foglight.losses"


def loss_names() -> list[str]:
    """Every name, in alphabetical order; nothing is imported but the packages.

    >>> {"cross_entropy", "cwd", "kd"} <= set(loss_names())
    True
    """
    return sorted({*_own_modules(), *_foreign_entries()})


def loss_class(name: str) -> type[DistillationLoss]:
    """The class of that name.

    Raises:
        ConfigurationError: if there is none.
    """
    own = _own_modules()
    if name in own:
        return _only_loss(importlib.import_module(own[name]))
    foreign = _foreign_entries()
    if name not in foreign:
        names = loss_names()
        raise ConfigurationError(f"expected the name of a loss, got {name!r}", remedy=known_words(name, names))
    found = foreign[name].load()
    if not (inspect.isclass(found) and issubclass(found, DistillationLoss)):
        raise ConfigurationError(
            f"loss {name!r}: expected {foreign[name].value} to be a DistillationLoss, got {found!r}",
            remedy=f"mend the entry point in the package that declares it in {ENTRY_POINT_GROUP!r}",
        )
    return found


def build_loss(
    name: str, student: ModelInfo, teacher: ModelInfo | None, options: Mapping[str, Any]
) -> DistillationLoss:
    """The loss of that name for these networks; `options` are its keyword arguments.

    Raises:
        ConfigurationError: if an option is unknown, missing or of the wrong kind, or the loss refuses these values.
    """
    loss = loss_class(name)
    checked = _checked_options(name, loss, options)
    try:
        return loss(student, teacher, **checked)
    except ValueError as error:
        raise ConfigurationError(f"loss {name!r}: {error}", remedy="change the recipe's `losses:`") from error


def loss_options(loss: type[DistillationLoss]) -> dict[str, inspect.Parameter]:
    """What may stand under `options:` of this loss: the keyword-only arguments of its constructor."""
    parameters = inspect.signature(loss).parameters.values()
    return {parameter.name: parameter for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY}


def _checked_options(name: str, loss: type[DistillationLoss], options: Mapping[str, Any]) -> dict[str, Any]:
    known = loss_options(loss)
    checked: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in options.items():
        if key not in known:
            problems.append(f"unknown option {key!r}, {did_you_mean(key, list(known))}".strip())
            continue
        try:
            checked[key] = TypeAdapter(known[key].annotation).validate_python(value)
        except ValidationError as error:
            problems.append(f"{key}: {error.errors()[0]['msg']}, got {value!r}")
    required = [key for key, parameter in known.items() if parameter.default is inspect.Parameter.empty]
    problems.extend(f"missing option {key!r}" for key in required if key not in options)
    if problems:
        raise ConfigurationError(
            f"loss {name!r}: {'; '.join(problems)}", remedy=f"its options are {', '.join(known) or '(none)'}"
        )
    return checked


def _own_modules() -> dict[str, str]:
    """Dotted module path by file stem."""
    modules: dict[str, str] = {}
    for family in FAMILIES:
        package = importlib.import_module(f"foglight.losses.{family}")
        for entry in pkgutil.iter_modules(package.__path__):
            if entry.name.startswith("_"):
                continue
            if entry.name in modules:
                raise ValueError(f"expected one file per loss name, got {modules[entry.name]} and one in {family}")
            modules[entry.name] = f"{package.__name__}.{entry.name}"
    return modules


def _only_loss(module: ModuleType) -> type[DistillationLoss]:
    """The one loss that the module itself defines."""
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, DistillationLoss)
        and not inspect.isabstract(value)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ValueError(f"expected exactly one DistillationLoss in {module.__name__}, got {len(found)}")
    return found[0]


def _foreign_entries() -> dict[str, EntryPoint]:
    """Entry points of other packages; a name of our own cannot be replaced."""
    own = _own_modules()
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in own}
