"""Method presets: what `--method NAME` expands to, with the published constants of the data set and their sources.

A method is a list of terms. An overlay (FOTF and its kin) is a pixel weight for the per-pixel terms of any method:
`cwd+fotf` lays FOTF over channel-wise distillation, and `fotf` alone lays it over vanilla distillation.
Each is one file in `recipes/methods`; its stem is its name.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from pydantic import ValidationError

from foglight.config.mistakes import configuration_error, suggestion, validation_mistakes
from foglight.config.preset_schema import Overlay, Preset, Published
from foglight.config.schema import RunConfig
from foglight.config.yaml_text import parse_yaml
from foglight.errors import ConfigurationError


def method_names() -> list[str]:
    """Methods and overlays; an overlay also goes after any method: `cwd+fotf`."""
    return sorted([*_methods(), *_overlays()])


def overlay_names() -> list[str]:
    """The pixel weights among `method_names`."""
    return sorted(_overlays())


def load_method(name: str) -> Preset:
    """A method, an overlay over its own default, or METHOD+OVERLAY.

    Raises:
        ConfigurationError: if there is none of that name.
    """
    base, plus, overlay = name.partition("+")
    if not plus and base in _overlays():
        base, overlay = _overlays()[base].over, base
    if base not in _methods():
        raise _unknown(name, base, sorted(_methods()) if plus else method_names())
    method = _methods()[base]
    if not plus and not overlay:
        return method
    if overlay not in _overlays():
        raise _unknown(name, overlay, overlay_names())
    return _lay(_overlays()[overlay], method, name)


def expand(config: RunConfig) -> RunConfig:
    """Fill `losses` from `method`, for the run's data set and student; a run without a method is returned as it is.

    A configuration that has been expanded before is returned unchanged.

    Raises:
        ConfigurationError: if there is no such method, or `losses` are given as well and say something else.
    """
    if config.method is None:
        return config
    losses = load_method(config.method).losses(config.data.name, config.student.name)
    if config.losses not in (losses, RunConfig.model_fields["losses"].default):
        raise method_and_losses(config.method)
    return config.model_copy(update={"losses": losses})


def method_and_losses(method: str) -> ConfigurationError:
    """The refusal of a recipe that says what its losses are twice, and not the same."""
    return ConfigurationError(
        f"method: expected either method or losses, got method {method!r} and losses that differ from it",
        remedy="remove one of the two; `losses.0.weight=...` on the command line changes a method's terms",
    )


def _lay(overlay: Overlay, method: Preset, name: str) -> Preset:
    """The method with the overlay's pixel weight on every term that it declares as weighted."""
    if not method.weighted:
        raise ConfigurationError(
            f"method {name!r}: {method.name} has no per-pixel term that {overlay.name} could weight",
            remedy=f"use `--method {method.name}`",
        )
    terms = tuple(
        term.model_copy(update={"pixel_weight": overlay.pixel_weight[method.weighted[term.name]]})
        if term.name in method.weighted
        else term
        for term in method.terms
    )
    published: dict[str, dict[str, Published]] = {data: dict(known) for data, known in method.data.items()}
    for data, by_architecture in overlay.data.items():
        for architecture, by_method in by_architecture.items():
            if method.name in by_method:
                known = published.setdefault(data, {})
                known[architecture] = by_method[method.name].over(known.get(architecture))
    return Preset(
        name=name,
        title=f"{overlay.title}; over {method.name}",
        source=f"{overlay.source}; {method.name}: {method.source}",
        note=" ".join(note for note in (overlay.note, method.note) if note),
        tier=method.tier,
        terms=terms,
        weighted=method.weighted,
        constants=(*method.constants, *overlay.constants),
        data=published,
    )


def _unknown(name: str, part: str, known: list[str]) -> ConfigurationError:
    where = f"method {name!r}" if name == part else f"method {name!r}: {part!r}"
    return ConfigurationError(f"{where} is unknown", remedy=f"name one of {', '.join(known)}{suggestion(part, known)}")


_Model = TypeVar("_Model", Preset, Overlay)


@cache
def _methods() -> Mapping[str, Preset]:
    return {name: _parse(name, content, Preset) for name, content in _files().items() if "over" not in content}


@cache
def _overlays() -> Mapping[str, Overlay]:
    return {name: _parse(name, content, Overlay) for name, content in _files().items() if "over" in content}


@cache
def _files() -> Mapping[str, dict[str, Any]]:
    folder = resources.files("foglight.recipes") / "methods"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".yaml"): parse_yaml(entry.read_text(encoding="utf-8"), source=entry.name)
        for entry in files
    }


def _parse(name: str, content: dict[str, Any], model: type[_Model]) -> _Model:
    tree = {"name": name, **content}
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise configuration_error(f"methods/{name}.yaml", validation_mistakes(error, tree, model)) from error
