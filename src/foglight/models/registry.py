"""Networks by name: list them, read their cards, build them from a recipe's options.

Importing this file costs no torch; a builder, and timm with it, is imported when a network is built.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from foglight.errors import ConfigurationError
from foglight.models.cards import MODEL_CARDS, ModelCard
from foglight.spelling import known_words

if TYPE_CHECKING:
    import torch.nn

    import foglight.models.segmentation_module


def model_names() -> tuple[str, ...]:
    """The registered networks, in the order of their cards."""
    return tuple(MODEL_CARDS)


def model_card(name: str) -> ModelCard:
    """The card of that name.

    Raises:
        ConfigurationError: if there is none; the message suggests the nearest name.
    """
    if name not in MODEL_CARDS:
        raise ConfigurationError(f"expected the name of a network, got {name!r}", remedy=known_words(name, MODEL_CARDS))
    return MODEL_CARDS[name]


def model_options(name: str) -> dict[str, Any]:
    """What a recipe may set on that network, with the values it has otherwise.

    >>> model_options("lite_s")["widths"]
    (12, 24, 40, 56)

    Raises:
        ConfigurationError: if there is no such network.
    """
    card = model_card(name)
    parameters = inspect.signature(_builders()[card.builder]).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    return {option: card.defaults.get(option, value) for option, value in own.items() if option not in card.identity}


def build_module(
    name: str, *, num_classes: int, options: Mapping[str, Any]
) -> "foglight.models.segmentation_module.SegmentationModule":
    """The network of that name with fresh weights, drawn from the global random stream.

    Args:
        name: one of `model_names()`.
        num_classes: k.
        options: some of `model_options(name)`.

    Raises:
        ConfigurationError: for an unknown name, an unknown option, or a value that the network cannot take.
    """
    card, legal = model_card(name), model_options(name)
    if num_classes < 1:
        raise ConfigurationError(f"expected num_classes >= 1, got {num_classes}", remedy="name the classes of the data")
    unknown = sorted(set(options) - set(legal))
    if unknown:
        raise ConfigurationError(
            f"{name} has no option {', '.join(map(repr, unknown))}", remedy=known_words(unknown[0], legal)
        )
    try:
        return _builders()[card.builder](num_classes, **{**card.identity, **legal, **options})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{name} cannot be built with {dict(options)}: {error}", remedy=f"its defaults are {legal}"
        ) from error


def parameter_count(module: "torch.nn.Module") -> int:
    """The number of weights, auxiliary heads included."""
    return sum(parameter.numel() for parameter in module.parameters())


def _builders() -> dict[str, Callable[..., "foglight.models.segmentation_module.SegmentationModule"]]:
    from foglight.models.deeplabv3 import deeplabv3_mobilenetv2, deeplabv3_resnet
    from foglight.models.deeplabv3plus import deeplabv3plus_mobilenetv2, deeplabv3plus_resnet
    from foglight.models.lite import Lite
    from foglight.models.mfnet import MFNet
    from foglight.models.pspnet import pspnet_resnet
    from foglight.models.segformer import segformer
    from foglight.models.sne_roadseg import sne_roadseg_lite, sne_roadseg_resnet

    return {
        "deeplabv3_resnet": deeplabv3_resnet,
        "deeplabv3_mobilenetv2": deeplabv3_mobilenetv2,
        "pspnet_resnet": pspnet_resnet,
        "deeplabv3plus_resnet": deeplabv3plus_resnet,
        "deeplabv3plus_mobilenetv2": deeplabv3plus_mobilenetv2,
        "lite": Lite,
        "sne_roadseg_resnet": sne_roadseg_resnet,
        "sne_roadseg_lite": sne_roadseg_lite,
        "mfnet": MFNet,
        "segformer": segformer,
    }
