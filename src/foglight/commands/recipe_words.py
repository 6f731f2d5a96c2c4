"""From the words of a command line to one run: a recipe, options over it, dotted overrides over both."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from foglight.config.load import build_config, dump_config, find_recipe, load_recipe
from foglight.config.overrides import Override, apply_override
from foglight.config.schema import RunConfig
from foglight.config.yaml_text import read_yaml
from foglight.errors import ConfigurationError

# What neither changes the student nor belongs to a run's name.
_NOT_IN_THE_NAME: dict[str, Any] = {
    "engine": True,
    "preflight": True,
    "allow": True,
    "data": {"root", "workers", "cache"},
}


@final
@dataclass(frozen=True)
class RunWords:
    """What a command line says about a run.

    Attributes:
        words: at most one recipe, and dotted overrides.
        recipe: where it is given as an option.
        options: by dotted key, values of the options that were given; None for those that were not.
        overrides: further dotted overrides.
        default_method: where neither the recipe nor the command line names a method or losses.
    """

    words: Sequence[str] = ()
    recipe: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    default_method: str = "ce"


def read_words(words: RunWords) -> tuple[RunConfig, Path]:
    """The run, and the folder it goes to by default: the same words give the same folder, so they resume it.

    Raises:
        ConfigurationError: listing every mistake.
    """
    recipe, overrides = _sort(words)
    content = {} if recipe is None else read_yaml(find_recipe(recipe))
    if isinstance(content, dict):
        _lay_options(content, words)
        _require_student(content, overrides)
    config = build_config(content, overrides, source=recipe or "the command line")
    return config, Path("runs") / _name(config, recipe)


def run_options(
    *,
    student: str | None,
    weights: Path | None,
    pretrained: bool | None,
    teacher: str | None,
    data: str | None,
    root: Path | None,
    split: str | None,
    unlabeled: Path | None,
    method: str | None,
    steps: int | None,
    samples: int | None,
    seconds: float | None,
    seed: int | None,
    fast: bool,
    device: str | None,
    devices: int | None,
    nodes: int | None,
    allow: Sequence[str] | None,
    no_preflight: bool,
    class_map: str | None = None,
    finetune_teacher: int | None = None,
    insert_dropout: float | None = None,
) -> dict[str, Any]:
    """The options of `train` and `distill` by their dotted keys in a recipe; None where an option was not given."""
    given = {"steps": steps, "samples": samples, "seconds": seconds}
    return {
        "student.name": student,
        "student.pretrained": pretrained,
        "student.weights": None if weights is None else str(weights),
        "student.options.insert_dropout": insert_dropout,
        "teacher.name": teacher,
        "teacher.class_map": class_map,
        "teacher.finetune": None if finetune_teacher is None else {"steps": finetune_teacher},
        "data.name": data,
        "data.root": None if root is None else str(root),
        "data.split": split,
        "data.unlabeled": None if unlabeled is None else str(unlabeled),
        "method": method,
        # As a whole, because it replaces the recipe's budget whatever its unit.
        "budget": {unit: value for unit, value in given.items() if value is not None} or None,
        "seed": seed,
        "engine.fast": fast or None,
        "engine.device": device,
        "engine.devices": devices,
        "engine.nodes": nodes,
        "allow": list(allow) if allow else None,
        "preflight": False if no_preflight else None,
    }


def _sort(words: RunWords) -> tuple[str | None, list[str]]:
    recipes = [word for word in words.words if "=" not in word]
    if words.recipe is not None:
        recipes.append(words.recipe)
    if len(recipes) > 1:
        raise ConfigurationError(
            f"expected at most one recipe, got {', '.join(recipes)}", remedy="write overrides as key=value"
        )
    overrides = [*(word for word in words.words if "=" in word), *words.overrides]
    return (recipes[0] if recipes else None), overrides


def _require_student(content: dict[str, Any], overrides: Sequence[str]) -> None:
    if "student" not in content and not any(text.startswith("student") for text in overrides):
        raise ConfigurationError(
            "no student: a run needs a network to train", remedy="name one by `--student`; `foglight models` lists them"
        )


def _lay_options(content: dict[str, Any], words: RunWords) -> None:
    if words.options.get("method") is not None:
        content.pop("losses", None)
    elif "method" not in content and "losses" not in content:
        content["method"] = words.default_method
    for key, value in words.options.items():
        if value is None:
            continue
        mistake = apply_override(content, Override(tuple(key.split(".")), value))
        if mistake is not None:
            raise ConfigurationError(str(mistake), remedy="correct the recipe")


def _name(config: RunConfig, recipe: str | None) -> str:
    """The recipe's own name where it is run as it is; otherwise what it is, with a digest of everything."""
    if recipe is not None and _identity(config) == _identity(load_recipe(recipe)):
        return Path(recipe).stem
    own = f"{_last(config.data.name)}-{_last(config.student.name)}-{config.method or 'losses'}"
    base = own if recipe is None else Path(recipe).stem
    return f"{base}-{hashlib.sha256(_identity(config).encode()).hexdigest()[:6]}"


def _identity(config: RunConfig) -> str:
    kept = config.model_dump(mode="json", exclude=_NOT_IN_THE_NAME)
    return dump_config(RunConfig.model_validate(kept))


def _last(name: str) -> str:
    """The end of a name: of a path its last part, of module:package.mod:build the builder."""
    return Path(name).stem.rsplit(":", 1)[-1]
