"""A recipe from YAML and overrides: every mistake at once, each with its place; and back to YAML, complete.

A recipe says only what differs; `dump_config` writes everything, so that a run folder can be read without the presets
and the defaults of the version that made it.
"""

import copy
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foglight.config.mistakes import Mistake, configuration_error, suggestion, validation_mistakes
from foglight.config.overrides import Override, apply_override, parse_override
from foglight.config.presets import expand, method_and_losses
from foglight.config.schema import RunConfig
from foglight.config.yaml_text import parse_yaml, read_yaml, write_yaml
from foglight.errors import ConfigurationError


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A recipe by path, or by the name of one that comes with foglight; its method is expanded.

    Raises:
        ConfigurationError: listing every mistake in the recipe and the overrides.
    """
    path = find_recipe(recipe)
    return build_config(read_yaml(path), overrides, source=str(recipe))


def load_packaged(name: str) -> RunConfig:
    """A recipe that comes with foglight, whatever files lie in the working directory.

    Raises:
        ConfigurationError: if there is none of that name.
    """
    return load_recipe(_packaged(name))


def build_config(content: Any, overrides: Sequence[str] = (), *, source: str = "the command line") -> RunConfig:
    """The run that a recipe's content and dotted overrides describe; its method is expanded.

    Overrides of `losses` are laid over what the method expands to; such a run no longer is that method, and says so by
    `method: null`.

    Raises:
        ConfigurationError: listing every mistake.
    """
    if content is not None and not isinstance(content, dict):
        problem = f"{source}: expected a mapping (key: value), got {type(content).__name__}"
        raise ConfigurationError(problem, remedy="write a recipe as in `foglight recipes`")
    tree: dict[str, Any] = copy.deepcopy(content) or {}
    parsed = [parse_override(text) for text in overrides]
    mistakes = [item for item in parsed if isinstance(item, Mistake)]
    changes = [item for item in parsed if isinstance(item, Override)]
    on_losses = [change for change in changes if change.keys[0] == "losses" and len(change.keys) > 1]
    mistakes += _apply(tree, [change for change in changes if change not in on_losses])
    if tree.get("method") is None:
        tree.setdefault("losses", [loss.model_dump() for loss in RunConfig.model_fields["losses"].default])
        mistakes += _apply(tree, on_losses)
        on_losses = []
    given = _validate(tree, mistakes, source)
    config = expand(given)
    if given.method is not None and tree.get("losses") is not None and given.losses != config.losses:
        raise method_and_losses(given.method)
    if not on_losses:
        return config
    tree = {**_plain(config.model_dump()), "method": None}
    return _validate(tree, _apply(tree, on_losses), source)


def read_config(path: Path) -> RunConfig:
    """The `config.yaml` of a run folder, as it stands: complete, without presets or overrides.

    Raises:
        ConfigurationError: listing every mistake.
    """
    return _validate(read_yaml(path), [], str(path))


def parse_config(text: str, *, source: str = "config.yaml") -> RunConfig:
    """What `dump_config` wrote.

    Raises:
        ConfigurationError: listing every mistake.
    """
    return _validate(parse_yaml(text, source=source), [], source)


def dump_config(config: RunConfig) -> str:
    """YAML with every key; `parse_config` gives back an equal configuration.

    >>> config = build_config({"student": "lite_s", "optim": {"lr": 1e-3}})
    >>> parse_config(dump_config(config)) == config
    True
    """
    return write_yaml(_plain(config.model_dump()))


def recipe_names() -> list[str]:
    """The recipes that come with foglight."""
    folder = resources.files("foglight.recipes") / "runs"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe: a path, or a name out of `recipe_names`.

    Raises:
        ConfigurationError: if there is neither.
    """
    path = Path(recipe)
    return path if path.is_file() else _packaged(str(recipe))


def _packaged(name: str) -> Path:
    known = recipe_names()
    if name not in known:
        raise ConfigurationError(
            f"{name}: no such file, and no recipe of that name",
            remedy=f"name a YAML file or one that `foglight recipes` lists{suggestion(Path(name).stem, known)}",
        )
    return Path(str(resources.files("foglight.recipes") / "runs" / f"{name}.yaml"))


def _plain(value: Any) -> Any:
    """With lists for tuples; not pydantic's JSON form, which would turn a label map's whole numbers into text."""
    match value:
        case dict():
            return {key: _plain(below) for key, below in value.items()}
        case list() | tuple():
            return [_plain(below) for below in value]
        case _:
            return value


def _apply(tree: dict[str, Any], changes: Sequence[Override]) -> list[Mistake]:
    return [mistake for change in changes if (mistake := apply_override(tree, change)) is not None]


def _validate(tree: Any, mistakes: Sequence[Mistake], source: str) -> RunConfig:
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        found = [*mistakes, *validation_mistakes(error, tree, RunConfig)]
        raise configuration_error(source, found) from error
    if mistakes:
        raise configuration_error(source, mistakes)
    return config
