"""A dropout before the classifier of any network, so that methods that need MC dropout work on it.

    logits = classifier(dropout(f)),    f what the classifier reads

The dropout is called by a hook of the classifier and has no weights, so a state dict keeps its keys, files load as they
did, and taps keep their paths; where the classifier is linear or a 1x1 convolution the closed form of MC dropout is
complete if no other dropout is active. Elementwise, as in our own heads. Cost: one dropout.
"""

from typing import Any, Final, final

from torch import nn

from foglight.errors import ConfigurationError
from foglight.models.adapters.foreign import classifier_path
from foglight.models.dry_run import measure
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.taps import INPUT_SUFFIX

OPTION: Final = "insert_dropout"
_NAME: Final = "inserted_dropout"


@final
class Before:
    """A hook that hands on the classifier's input after the dropout; an object, so that a copy has its own.

    Args:
        dropout: a part of the network.
    """

    def __init__(self, dropout: nn.Dropout) -> None:
        self.dropout = dropout

    def __call__(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the first after dropout."""
        return (self.dropout(arguments[0]), *arguments[1:])


def insert_dropout(module: SegmentationModule, rate: object, *, name: str) -> str:
    """Insert it, in place; returns a sentence for reports.

    Args:
        module: the network.
        rate: of the dropout.
        name: of the network, for messages.

    Raises:
        ConfigurationError: if the rate is none, or no classifier can be told.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise ConfigurationError(f"{OPTION}: expected a rate in (0, 1), got {rate!r}", remedy="give one such as 0.1")
    size = 2 * max(module.size_multiple, 32)
    found = classifier_path(module, measure(module, (size, size)))
    if found is None:
        raise ConfigurationError(
            f"{OPTION}: {name} has no linear classifier that a dropout could stand before",
            remedy="take the weight source `entropy`, or build the dropout into your own module",
        )
    dropout = nn.Dropout(float(rate))
    module.add_module(_NAME, dropout)
    # What the classifier reads is after dropout now; before it is what the dropout reads.
    if module.tap_names.get("head_clean") == found + INPUT_SUFFIX:
        module.tap_names = {**module.tap_names, "head_clean": _NAME + INPUT_SUFFIX}
    module.get_submodule(found).register_forward_pre_hook(Before(dropout))
    return f"dropout {rate} inserted before {found}"
