"""ImageNet weights for a backbone, from timm: all of them or none.

A backbone keeps timm's own keys, so that a state dict loads strictly once the classifier's keys are dropped. Nothing is
loaded in part, and the source is returned in words, to be written beside every checkpoint and report.
"""

from collections.abc import Callable, Mapping
from typing import Final

import timm
from torch import Tensor

from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.backbone import Backbone
from foglight.models.cards import MODEL_CARDS, ModelCard
from foglight.models.inflate import copy_fill, mean_fill
from foglight.models.registry import model_card
from foglight.models.segmentation_module import SegmentationModule

_FIRST: Final = "conv1.weight"
# What timm's classifiers have beyond the stages that a backbone keeps.
_CLASSIFIER_PREFIXES: Final = ("fc.", "conv_head.", "bn2.", "classifier.")


def timm_state(weights: str) -> Mapping[str, Tensor]:
    """Download, or take from the local cache, a timm model's weights."""
    return timm.create_model(weights, pretrained=True).state_dict()


def backbone_of(module: SegmentationModule) -> Backbone:
    """The part of a network that pretrained weights exist for.

    Raises:
        ConfigurationError: if it has none.
    """
    for child in module.children():
        if isinstance(child, Backbone):
            return child
    raise ConfigurationError(
        f"{type(module).__name__} has no backbone with pretrained weights",
        remedy="set pretrained: false (`--from-scratch`)",
    )


def load_pretrained_backbone(
    module: SegmentationModule,
    name: str,
    *,
    download: Callable[[str], Mapping[str, Tensor]] = timm_state,
) -> str:
    """Load timm's weights for the registered network `name` into its backbone.

    Args:
        module: changed in place.
        name: registry key.
        download: from timm's name to a state dict.

    Returns:
        The source in words, such as "timm resnet101s.gluon_in1k".

    Raises:
        ConfigurationError: if timm has no weights that fit this network.
        CheckpointError: if they cannot be had, or do not fit; the network is then as it was.
    """
    card, backbone = model_card(name), backbone_of(module)
    if card.pretrained is None:
        raise ConfigurationError(f"{name}: {card.weights}", remedy=_without_timm(card))
    try:
        state = download(card.pretrained)
    except Exception as error:  # The hub's client raises errors of several libraries; all of them mean the same here.
        raise CheckpointError(
            f"timm's weights {card.pretrained} cannot be downloaded ({type(error).__name__})",
            remedy="go online once, so that they are cached, or give `weights: FILE`, or set pretrained: false",
        ) from error
    kept = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIER_PREFIXES)}
    expected = backbone.state_dict()
    different = sorted(set(kept) ^ set(expected)) or [key for key in kept if kept[key].shape != expected[key].shape]
    if different:
        raise CheckpointError(
            f"timm's {card.pretrained} does not fit {name}: {len(different)} keys differ, first {different[0]!r}",
            remedy="install the timm version that pyproject.toml asks for, or give `weights: FILE`",
        )
    backbone.load_state_dict(kept, strict=True)
    for child in module.children():
        # A second encoder, of extra channels, starts from the same weights.
        if isinstance(child, Backbone) and child is not backbone:
            child.load_state_dict({**kept, _FIRST: _first_weight(kept[_FIRST], child)}, strict=True)
    return f"timm {card.pretrained}"


def _first_weight(colours: Tensor, backbone: Backbone) -> Tensor:
    """Three channels, such as normals, as red, green and blue; any other number as brightness."""
    channels = backbone.state_dict()[_FIRST].shape[1]
    return (copy_fill if channels == colours.shape[1] else mean_fill)(colours, channels)


def _without_timm(card: ModelCard) -> str:
    plain = f"{card.name}_plain"
    alternative = f", or take {plain}" if plain in MODEL_CARDS else ""
    return f"give `weights: FILE`{alternative}, or set pretrained: false to train from scratch"
