"""`classes.yaml`: the names of an own data set's classes, and what its mask values mean.

    names: [road, grass, sky]
    palette: [[128, 64, 128], [0, 160, 0], "#4682b4"]    # one colour per class; needed for colour masks
    map: {7: road, 8: grass, "#000000": ignore}          # raw index or colour to class name, index or `ignore`
    ignore: [0, "#ffffff"]                               # raw indices and colours that say nothing

Only `names` is needed. Once `map` lists an index, only listed indices are known; colours that it lists stand beside
those of the palette.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, final

import yaml

from foglight.data.dataset import Colour
from foglight.data.labels import LabelTable, pack
from foglight.data.palette import default_palette
from foglight.errors import ConfigurationError, DataError
from foglight.spelling import known_words
from foglight.types import IGNORE_INDEX

CLASS_KEYS: Final = ("names", "palette", "map", "ignore")
MOST_CLASSES: Final = IGNORE_INDEX


@final
@dataclass(frozen=True)
class Classes:
    """What `classes.yaml` says.

    Attributes:
        names: by training index.
        palette: by training index.
        indices: raw index to training index or 255; empty where nothing is listed.
        colours: packed colour to training index or 255; empty where no palette and no colour is given.
        ignored: raw indices.
        ignored_colours: packed colours.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    indices: Mapping[int, int]
    colours: Mapping[int, int]
    ignored: frozenset[int]
    ignored_colours: frozenset[int]

    def table(self, unknown: Literal["error", "ignore"] = "error") -> LabelTable:
        """The table that maps raw masks."""
        return LabelTable(
            self.names,
            self.indices,
            self.colours,
            self.ignored,
            self.ignored_colours,
            unknown=unknown,
            described_in="classes.yaml",
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds keys and values.

    Raises:
        DataError: if it is missing or no YAML.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file", remedy="write one with `names: [first class, second class, ...]` beside images/"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as YAML ({' '.join(str(error).split())})", remedy="mend it") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys and values, got {type(content).__name__}", remedy="start with `names:`")
    return {str(key): value for key, value in content.items()}


def parse_classes(content: Mapping[str, Any], where: str) -> Classes:
    """The class part of a YAML file.

    Args:
        content: keys and values.
        where: the file, for messages.

    Raises:
        ConfigurationError: if a key is unknown or a value is not what it should be.
    """
    for key in content:
        if key not in CLASS_KEYS:
            raise ConfigurationError(f"{where}: unknown key {key!r}", remedy=known_words(key, CLASS_KEYS))
    names = content.get("names")
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names) or len(names) > MOST_CLASSES:
        raise ConfigurationError(
            f"{where}: expected `names:`, a list of 1 to {MOST_CLASSES} different class names, got {names!r}",
            remedy="write `names: [first class, second class, ...]`",
        )
    palette = _palette(content.get("palette"), len(names), where)
    indices, colours = _mapping(content.get("map") or {}, [str(name) for name in names], where)
    if content.get("palette"):
        colours = {pack(colour): index for index, colour in enumerate(palette)} | colours
    ignored = content.get("ignore")
    values = (
        []
        if ignored is None
        else [_raw(value, where) for value in (ignored if isinstance(ignored, list) else [ignored])]
    )
    return Classes(
        names=tuple(map(str, names)),
        palette=palette,
        indices=indices,
        colours=colours,
        ignored=frozenset(value for value, colour in values if not colour),
        ignored_colours=frozenset(value for value, colour in values if colour),
    )


def _palette(given: Any, count: int, where: str) -> tuple[Colour, ...]:
    if not given:
        return default_palette(count)
    if not isinstance(given, list) or len(given) != count:
        got = len(given) if isinstance(given, list) else repr(given)
        raise ConfigurationError(
            f"{where}: expected {count} colours in `palette:`, one per class, got {got}", remedy="give one per name"
        )
    packed = [_raw(colour, where) for colour in given]
    if not all(colour for _, colour in packed):
        raise ConfigurationError(
            f"{where}: `palette:` holds a plain number", remedy='write [128, 64, 128] or "#804080"'
        )
    return tuple((value >> 16, value >> 8 & 0xFF, value & 0xFF) for value, _ in packed)


def _mapping(given: Any, names: list[str], where: str) -> tuple[dict[int, int], dict[int, int]]:
    if not isinstance(given, dict):
        raise ConfigurationError(f"{where}: expected `map:` to hold pairs, got {given!r}", remedy="write {raw: class}")
    indices: dict[int, int] = {}
    colours: dict[int, int] = {}
    for raw, meaning in given.items():
        value, colour = _raw(raw, where)
        (colours if colour else indices)[value] = _class(meaning, names, where)
    return indices, colours


def _class(meaning: Any, names: list[str], where: str) -> int:
    if meaning == "ignore":
        return IGNORE_INDEX
    if isinstance(meaning, str) and meaning in names:
        return names.index(meaning)
    if isinstance(meaning, int) and not isinstance(meaning, bool) and 0 <= meaning < len(names):
        return meaning
    raise ConfigurationError(
        f"{where}: `map:` names the class {meaning!r}", remedy=known_words(str(meaning), [*names, "ignore"])
    )


def _raw(value: Any, where: str) -> tuple[int, bool]:
    """A raw value and whether it is a colour."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value, False
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        try:
            return int(value[1:], 16), True
        except ValueError:
            pass
    if isinstance(value, list) and len(value) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in value):
        return pack((value[0], value[1], value[2])), True
    raise ConfigurationError(
        f'{where}: expected an index such as 7, or a colour such as [128, 64, 128] or "#804080", got {value!r}',
        remedy="mend it",
    )
