"""An architecture by its name, whatever library it comes from; the only place that knows every prefix."""

from collections.abc import Mapping
from typing import Any, Final

from foglight.models.adapters import own_module
from foglight.models.adapters.foreign import Foreign
from foglight.models.adapters.inserted_dropout import OPTION, insert_dropout
from foglight.models.network import UNNORMALISED
from foglight.models.registry import build_module
from foglight.models.segmentation_module import SegmentationModule

PREFIXES: Final = ("hf:", "smp:", "torchvision:", "timm:", own_module.PREFIX)


def is_prefixed(name: str) -> bool:
    """Whether a name says which library it comes from.

    >>> is_prefixed("timm:resnet18"), is_prefixed("runs/teacher")
    (True, False)
    """
    return name.startswith(PREFIXES)


def build_prefixed(
    name: str, *, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None
) -> Foreign:
    """The network of a prefixed name; only the library that it comes from is imported.

    Raises:
        UserError: for everything that a user can mend.
    """
    from foglight.models.adapters import smp_network, timm_backbone, torchvision_network, transformers_models

    prefix, _, rest = name.partition(":")
    match prefix:
        case "hf":
            build = transformers_models.build
        case "smp":
            build = smp_network.build
        case "torchvision":
            build = torchvision_network.build
        case "timm":
            build = timm_backbone.build
        case _:
            module = own_module.build_own_module(name, num_classes=num_classes, options=options)
            return Foreign(module, UNNORMALISED, options=options)
    return build(rest, num_classes=num_classes, options=options, pretrained=pretrained)


def rebuild(name: str, *, num_classes: int, options: Mapping[str, Any]) -> SegmentationModule:
    """The architecture that a student's file describes: no weights, no folder, no network.

    Raises:
        UserError: for everything that a user can mend.
    """
    rest = dict(options)
    rate = rest.pop(OPTION, None)
    if is_prefixed(name):
        module = build_prefixed(name, num_classes=num_classes, options=rest, pretrained=False).module
    else:
        module = build_module(name, num_classes=num_classes, options=rest)
    if rate is not None:
        insert_dropout(module, rate, name=name)
    return module
