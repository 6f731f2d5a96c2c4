"""What a network does with the extra channels of a batch: one of colour images ignores them, the others insist."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from foglight.errors import ConfigurationError
from foglight.types import ChannelKind


def wanted_extra(
    extra: Float[Tensor, "b x H W"] | None, channels: int, *, name: str
) -> Float[Tensor, "b x H W"] | None:
    """The extra channels as a network of that many reads them; None for one of colour images, whatever the batch has.

    Raises:
        ConfigurationError: if the network reads extra channels and the batch has none, or another number.
    """
    return required_extra(extra, channels, name=name) if channels else None


def required_extra(extra: Float[Tensor, "b x H W"] | None, channels: int, *, name: str) -> Float[Tensor, "b x H W"]:
    """The extra channels, which must be there.

    Raises:
        ConfigurationError: if there are none, or another number.
    """
    given = 0 if extra is None else extra.shape[1]
    if extra is None or given != channels:
        raise ConfigurationError(
            f"{name} reads {channels} extra channel(s) (depth, normals or others) beside the image, the data has "
            f"{given}",
            remedy="take a data set that has them (fogtown: data.options.extra=depth, an own folder: "
            "data.options.extra=DIR), or set extra_channels in the network's options to what the data has",
        )
    return extra


def require_known_kinds(learned: Sequence[ChannelKind], given: Sequence[ChannelKind], *, name: str) -> None:
    """Refuse extra channels that measure something else than those that a network learned from.

    Args:
        learned: what these measure; empty where nobody knows.
        given: of the data; empty where nobody knows.
        name: of the network.

    Raises:
        ConfigurationError: if both are known and differ.
    """
    if learned and given and tuple(learned) != tuple(given):
        raise ConfigurationError(
            f"{name} learned from {', '.join(learned)} beside the image, the data gives {', '.join(given)}",
            remedy="set data.options.extra to what it learned from",
        )


def require_count(channels: int) -> None:
    """Refuse a number of extra channels that there cannot be.

    Raises:
        ValueError: if it is negative.
    """
    if channels < 0:
        raise ValueError(f"expected extra_channels >= 0, got {channels}")
