"""Data sets by name, with a helpful word where a name or an option is wrong.

A name is one of `dataset_names()`, or a path: a folder with images/ and masks/, or a YAML file that describes one.
Adding a data set: write its file, add one line to `BUILDERS`, and a way to make a tiny one to the contract test.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from foglight.data.ade20k import ade20k
from foglight.data.cached import CachedDataset, ResizedDataset
from foglight.data.camvid import camvid
from foglight.data.cityscapes import cityscapes
from foglight.data.classes_file import CLASS_KEYS, read_yaml
from foglight.data.dataset import SegmentationDataset
from foglight.data.folder import own_folder
from foglight.data.groups import Part
from foglight.data.kitti import kitti
from foglight.data.nuimages import nuimages
from foglight.data.nyuv2 import nyuv2
from foglight.data.synthetic import fogtown
from foglight.data.unlabelled import UnlabelledFolder
from foglight.data.vkitti2 import vkitti2
from foglight.data.voc import voc
from foglight.errors import ConfigurationError, DataError
from foglight.spelling import known_words

OWN_FOLDER: Final = "folder"
BUILDERS: Final[Mapping[str, Callable[..., SegmentationDataset]]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    OWN_FOLDER: own_folder,
    "fogtown": fogtown,
    "kitti": kitti,
    "nuimages": nuimages,
    "nyuv2": nyuv2,
    "vkitti2": vkitti2,
    "voc": voc,
}
# What `build_dataset` passes itself; everything else in a builder's signature is an option.
RESERVED: Final = ("root", "part", "split", "size")
YAML_SUFFIXES: Final = (".yaml", ".yml")

Size = tuple[int, int]
Cache = Literal["memory", "none"]


def dataset_names() -> tuple[str, ...]:
    """Every registered name."""
    return tuple(sorted(BUILDERS))


def option_names(name: str) -> tuple[str, ...]:
    """What `data.options` may hold for that data set."""
    return tuple(key for key in inspect.signature(BUILDERS[name]).parameters if key not in RESERVED)


def build_dataset(
    name: str,
    *,
    part: Part,
    root: str | None = None,
    split: str | None = None,
    size: Size | None = None,
    cache: Cache = "memory",
    options: Mapping[str, Any] | None = None,
) -> SegmentationDataset:
    """One part of a data set.

    Args:
        name: a registered name, or the path of an own folder or of its YAML file.
        part: which part.
        root: where the files are, if there are any.
        split: how the parts are cut, if there is a choice.
        size: height and width of every frame; None keeps the frames' own.
        cache: whether decoded frames stay in memory.
        options: keyword arguments of the data set.

    Raises:
        ConfigurationError: if the name, an option or an option's value is unknown.
        DataError: if files are missing or wrong.
    """
    name, root, split, options = _resolve(name, root, split, dict(options or {}))
    parameters = inspect.signature(BUILDERS[name]).parameters
    arguments: dict[str, Any] = {"part": part, **_known(name, options)}
    arguments |= {"root": _given_root(name, root)} if "root" in parameters else {}
    if "split" in parameters:
        arguments["split"] = split
    elif split is not None:
        raise ConfigurationError(f"{name} has no choice of splits, got {split!r}", remedy="leave data.split out")
    if "size" in parameters and size is not None:
        arguments["size"], size = size, None
    try:
        dataset = BUILDERS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"data.options of {name}: {error}", remedy="mend the option") from error
    return finish(dataset, size=size, cache=cache)


def build_unlabelled(root: str, *, size: Size | None = None, cache: Cache = "memory") -> SegmentationDataset:
    """Images without masks from a folder.

    Raises:
        DataError: if there is no such folder or no image in it.
    """
    return finish(UnlabelledFolder(Path(root)), size=size, cache=cache)


def finish(dataset: SegmentationDataset, *, size: Size | None, cache: Cache) -> SegmentationDataset:
    """The data set resized and cached as asked."""
    if size is not None:
        dataset = ResizedDataset(dataset, size)
    return CachedDataset(dataset) if cache == "memory" else dataset


def _given_root(name: str, root: str | None) -> Path:
    if root is None:
        raise DataError(f"{name} needs a folder with its files, got none", remedy="set data.root to that folder")
    return Path(root)


def _known(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, all of which the data set knows."""
    for key in options:
        if key not in option_names(name):
            raise ConfigurationError(
                f"data.options: {name} has no option {key!r}", remedy=known_words(key, option_names(name))
            )
    return options


def _resolve(
    name: str, root: str | None, split: str | None, options: dict[str, Any]
) -> tuple[str, str | None, str | None, dict[str, Any]]:
    """A registered name in place of a path, with what the path says."""
    if name in BUILDERS:
        return name, root, split, options
    path = Path(name)
    if path.suffix.lower() in YAML_SUFFIXES:
        content = read_yaml(path)
        described = {key: content.pop(key) for key in tuple(content) if key not in CLASS_KEYS}
        folder = path.parent / str(described.pop("root", "."))
        own_split = described.pop("split", None)
        classes = {"classes": content} if content else {}
        return OWN_FOLDER, root or str(folder), split or own_split, {**classes, **described, **options}
    if path.is_dir():
        return OWN_FOLDER, root or name, split, options
    raise ConfigurationError(f"no data set and no folder is called {name!r}", remedy=known_words(name, dataset_names()))
