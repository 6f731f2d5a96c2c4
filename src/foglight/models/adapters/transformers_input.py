"""Normalisation and channel order that a model of transformers was trained with.

They stand in `preprocessor_config.json` beside its weights; where there is no such file, it is taken to be trained as
the published checkpoints of its type were.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.models.adapters.libraries import downloading
from foglight.models.adapters.transformers_table import KNOWN
from foglight.models.network import IMAGENET, UNNORMALISED, Colour

PREFIX: Final = "hf:"
_HALF: Final[tuple[Colour, Colour]] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_TRAINED_WITH_HALF: Final = ("beit", "data2vec-vision", "dpt", "mobilenet_v2")
_TRAINED_ON_BGR: Final = ("mobilevit", "mobilevitv2")
_PREPROCESSOR: Final = "preprocessor_config.json"


@final
@dataclass(frozen=True)
class ExpectedInput:
    """What a model wants to see.

    Attributes:
        normalisation: mean and std of images in [0, 1].
        flip_channels: whether blue comes first.
    """

    normalisation: tuple[Colour, Colour]
    flip_channels: bool


def expected_input(name: str, config: Any, flip: bool | None, *, folder_only: bool) -> ExpectedInput:
    """What the model was trained on.

    Args:
        name: a folder, a hub's name or a known architecture.
        config: of the model.
        flip: the order of channels where a student's file says it.
        folder_only: do not ask the hub, because no weights are taken from it either.

    Raises:
        CheckpointError: if the hub knows its name and its file cannot be had.
    """
    settings = _preprocessor(name, folder_only=folder_only)
    if settings is None:
        bgr = config.model_type in _TRAINED_ON_BGR if flip is None else flip
        half = config.model_type in _TRAINED_WITH_HALF
        return ExpectedInput(UNNORMALISED if bgr else _HALF if half else IMAGENET, bgr)
    bgr = bool(settings.get("do_flip_channel_order"))
    if settings.get("do_normalize") is False or "image_mean" not in settings:
        return ExpectedInput(UNNORMALISED, bgr)
    return ExpectedInput((_colour(settings["image_mean"]), _colour(settings["image_std"])), bgr)


def _preprocessor(name: str, *, folder_only: bool) -> Mapping[str, Any] | None:
    if name in KNOWN:
        return None
    if Path(name).is_dir():
        path = Path(name) / _PREPROCESSOR
    elif folder_only:
        return None
    else:
        from transformers.utils import cached_file

        with downloading(f"{_PREPROCESSOR} of {PREFIX}{name}"):
            found = cached_file(name, _PREPROCESSOR, _raise_exceptions_for_missing_entries=False)
        if found is None:
            return None
        path = Path(found)
    return json.loads(path.read_text()) if path.is_file() else None


def _colour(values: Any) -> Colour:
    if isinstance(values, int | float):
        return (float(values), float(values), float(values))
    red, green, blue = (float(value) for value in values)
    return (red, green, blue)
