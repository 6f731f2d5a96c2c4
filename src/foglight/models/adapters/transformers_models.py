"""`hf:NAME`: a folder, a model of the hub, or a known architecture of transformers.

A folder (`config.json` and weights) or a hub's name stands for its weights, unless `pretrained: false`; a known
architecture, `hf:segformer-b0`, is built from its configuration, with its encoder's weights where `pretrained: true`.
Which class reads it follows its configuration: semantic segmentation, mask classification, or a backbone with our head.
Weights are loaded whole; only a head for another number of classes may be anew, and `weights_source` says so.

`options`: keys of the configuration; for backbones also `head`, `head_channels` and `dropout` of ours. The resolved
configuration stands in the student's file, so that it is built again without the folder. Normalisation and channel
order come from `preprocessor_config.json`, or from what the type was trained with. Source: huggingface/transformers at
the installed version.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.adapters.foreign import Foreign, require_classes
from foglight.models.adapters.libraries import downloading, library
from foglight.models.adapters.light_head import BackboneNetwork, checked_head
from foglight.models.adapters.transformers_input import PREFIX, expected_input
from foglight.models.adapters.transformers_network import (
    BackboneFeatures,
    MaskNetwork,
    SemanticNetwork,
    evenly,
    image_multiple,
)
from foglight.models.adapters.transformers_table import KNOWN
from foglight.models.network import FROM_SCRATCH
from foglight.models.segmentation_module import SegmentationModule
from foglight.spelling import known_words

SEMANTIC: Final = "semantic segmentation"
MASKS: Final = "mask classification"
BACKBONE: Final = "backbone"
_OUR_OPTIONS: Final = ("head", "head_channels", "dropout")
_STAGES: Final = ("stage_names", "out_features", "out_indices")
# What a checkpoint may lack where its head is for other classes, and what it may have too much.
_HEADS: Final = ("head", "classifier", "class_predictor", "criterion")


def build(name: str, *, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None) -> Foreign:
    """The network `hf:NAME`.

    Raises:
        ConfigurationError: if the library is missing, or there is no such architecture, folder or option.
        CheckpointError: if its weights cannot be had or do not fit.
    """
    library("transformers", extra="hf")
    rest = dict(options)
    resolved, flip = rest.pop("config", None), rest.pop("flip_channels", None)
    ours = {key: rest.pop(key) for key in _OUR_OPTIONS if key in rest}
    checkpoint = _checkpoint(name, pretrained) if resolved is None else None
    config = _config(name, resolved)
    kind, labels = _kind(config, name), _labels(config)
    # A backbone and a known architecture have no classes of their own, only transformers' default of two.
    own = None if name in KNOWN or kind == BACKBONE else len(labels)
    classes, changes = require_classes(PREFIX + name, own if num_classes is None else num_classes, rest)
    config = _changed(config, changes, classes, name, kind)
    inner, source = _model(kind, config, checkpoint, new_head=num_classes is not None)
    seen = expected_input(name, config, flip, folder_only=checkpoint is None)
    module: SegmentationModule
    if kind == BACKBONE:
        module = _with_our_head(inner, config, classes, ours)
        source = source if checkpoint is None else f"{source}, head from scratch"
    else:
        wrap = SemanticNetwork if kind == SEMANTIC else MaskNetwork
        module = wrap(inner, flip_channels=seen.flip_channels)
    described = {"config": json.loads(config.to_json_string()), "flip_channels": seen.flip_channels, **ours}
    names = labels if len(labels) == classes and kind != BACKBONE else ()
    return Foreign(module, seen.normalisation, source, {**described, "num_classes": classes}, names)


def _checkpoint(name: str, pretrained: bool | None) -> str | None:
    """Where weights come from, if from anywhere."""
    if name in KNOWN:
        return KNOWN[name].checkpoint if pretrained else None
    folder = Path(name)
    has_weights = not folder.is_dir() or any((*folder.glob("*.safetensors"), *folder.glob("*.bin")))
    if pretrained and not has_weights:
        raise CheckpointError(f"{folder}: no weights beside config.json", remedy="set pretrained: false, or add them")
    return name if pretrained is not False and has_weights else None


def _config(name: str, resolved: Mapping[str, Any] | None) -> Any:
    from transformers import CONFIG_MAPPING, AutoConfig

    if resolved is not None:
        return CONFIG_MAPPING[resolved["model_type"]].from_dict(dict(resolved))
    if name in KNOWN:
        return CONFIG_MAPPING[KNOWN[name].model_type](**KNOWN[name].config)
    folder = Path(name)
    if not folder.is_dir() and (folder.is_absolute() or name.count("/") != 1):
        raise ConfigurationError(
            f"{PREFIX}{name} is no folder, no hub's OWNER/NAME and no known architecture",
            remedy=known_words(name, KNOWN),
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no config.json in it", remedy="name a folder that save_pretrained wrote")
    with downloading(f"the configuration of {PREFIX}{name}"):
        return AutoConfig.from_pretrained(name)


def _changed(config: Any, changes: Mapping[str, Any], classes: int, name: str, kind: str) -> Any:
    settings = config.to_dict()
    unknown = sorted(set(changes) - set(settings))
    if unknown:
        raise ConfigurationError(
            f"{PREFIX}{name} has no option {', '.join(map(repr, unknown))}", remedy=known_words(unknown[0], settings)
        )
    if kind == BACKBONE:  # its stages follow from the number of layers
        settings = {key: value for key, value in settings.items() if key not in _STAGES}
    settings |= changes
    if len(_labels(config)) != classes:
        settings |= {"id2label": {index: f"LABEL_{index}" for index in range(classes)}, "label2id": None}
        settings.pop("num_labels", None)
    if "use_auxiliary_head" in settings:
        settings["use_auxiliary_head"] = False  # its logits are not handed out, so it would never learn
    try:
        return type(config).from_dict({key: value for key, value in settings.items() if key != "dtype"})
    except Exception as error:
        raise ConfigurationError(f"{PREFIX}{name}: {error}", remedy="correct `options:`") from error


def _labels(config: Any) -> tuple[str, ...]:
    return tuple(config.id2label[index] for index in sorted(config.id2label)) if config.id2label else ()


def _kind(config: Any, name: str) -> str:
    from transformers.models.auto import modeling_auto

    for kind, known in (
        (SEMANTIC, modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES),
        (MASKS, modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES),
        (BACKBONE, modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES),
    ):
        if config.model_type in known:
            return kind
    raise ConfigurationError(
        f"{PREFIX}{name}: transformers neither segments with the type {config.model_type!r} nor has it as a backbone",
        remedy="take another model",
    )


def _model(kind: str, config: Any, checkpoint: str | None, *, new_head: bool) -> tuple[nn.Module, str]:
    from transformers.models.auto import modeling_auto

    mapping: Any = {
        SEMANTIC: modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
        MASKS: modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
        BACKBONE: modeling_auto.MODEL_FOR_BACKBONE_MAPPING,
    }[kind]
    # Not the Auto classes: AutoBackbone asks the hub about a local folder.
    model_class = mapping[type(config)]
    if kind == BACKBONE:
        stages = len(config.stage_names) - 1
        settings = {key: value for key, value in config.to_dict().items() if key not in _STAGES}
        config = type(config).from_dict(settings | {"out_indices": sorted(set(evenly(stages)))})
    if checkpoint is None:
        try:
            return model_class(config), FROM_SCRATCH
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{config.model_type}: {error}", remedy="correct `options:`") from error
    with downloading(f"{PREFIX}{checkpoint}"), _without_bars():
        model, info = model_class.from_pretrained(
            checkpoint, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    return model, f"{checkpoint}{_anew(info, checkpoint, new_head=new_head or kind == 'AutoBackbone')}"


@contextmanager
def _without_bars() -> Generator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _anew(info: Mapping[str, Any], checkpoint: str, *, new_head: bool) -> str:
    """What the checkpoint did not fill, in words.

    Raises:
        CheckpointError: if that is more than a head, or a head that nobody asked to be anew.
    """
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    anew = sorted({*info["missing_keys"], *mismatched})
    body = [key for key in anew if not any(part in key for part in _HEADS)]
    if body or (anew and not new_head):
        kind = "the network" if body else "a segmentation head"
        raise CheckpointError(
            f"{checkpoint}: lacks {len(anew)} tensors of {kind}, first {(body or anew)[0]!r}",
            remedy="name a checkpoint of semantic segmentation, or train its head by `--finetune-teacher STEPS`",
        )
    return f", from scratch: {len(anew)} tensors of {anew[0].rsplit('.', 2)[0]}" if anew else ""


def _with_our_head(inner: Any, config: Any, classes: int, ours: Mapping[str, Any]) -> SegmentationModule:
    backbone = BackboneFeatures(inner)
    multiple = image_multiple(config.to_dict())
    training = inner.training
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, 2 * multiple, 2 * multiple))
    backbone.train(training)
    return BackboneNetwork(
        backbone,
        classes,
        channels=[one.shape[1] for one in maps],
        strides=[2 * multiple // one.shape[2] for one in maps],
        size_multiple=multiple,
        **checked_head(ours),
    )
