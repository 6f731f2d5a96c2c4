"""`timm:NAME`: any backbone of timm that gives features, with our head.

Stages come from timm's `features_only`; plain vision transformers give four blocks at equal distances, folded to grids
by timm itself. `options`: `head` (light or linear), `head_channels`, `dropout`, and whatever timm's `create_model`
takes. The image is padded to a multiple of the coarsest stride.

Source: Wightman, PyTorch image models (timm). Cost: the backbone's.
"""

from collections.abc import Mapping
from typing import Any, Final, final

import timm
import torch
from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.models.adapters.foreign import STAGES, Foreign, require_classes
from foglight.models.adapters.libraries import downloading
from foglight.models.adapters.light_head import BackboneNetwork, checked_head
from foglight.models.network import FROM_SCRATCH, IMAGENET, Colour
from foglight.spelling import known_words

PREFIX: Final = "timm:"
_OUR_OPTIONS: Final = ("head", "head_channels", "dropout")
# Transformers of a fixed image size take one of these words to accept others.
_ANY_SIZE: Final[tuple[dict[str, Any], ...]] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


@final
class Features(nn.Module):
    """A timm feature extractor whose maps are all "b c h w".

    Args:
        extractor: of timm.
        channels_last: whether it says "b h w c", as Swin does.
    """

    def __init__(self, extractor: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.extractor = extractor
        self.channels_last = channels_last

    def forward(self, image: Tensor) -> list[Tensor]:
        """The stages."""
        stages = self.extractor(image)
        return [stage.permute(0, 3, 1, 2) for stage in stages] if self.channels_last else list(stages)


def build(name: str, *, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None) -> Foreign:
    """The network `timm:NAME`.

    Raises:
        ConfigurationError: for a name or an option that timm does not know.
        CheckpointError: if its weights cannot be had.
    """
    classes, rest = require_classes(PREFIX + name, num_classes, options)
    ours = {key: rest.pop(key) for key in _OUR_OPTIONS if key in rest}
    extractor = _extractor(name, rest, pretrained=bool(pretrained))
    strides, channels = extractor.feature_info.reduction(), extractor.feature_info.channels()
    backbone = Features(extractor, channels_last=_channels_last(extractor, channels, max(strides)))
    module = BackboneNetwork(
        backbone, classes, channels=channels, strides=strides, size_multiple=max(strides), **checked_head(ours)
    )
    config = timm.get_pretrained_cfg(name)
    return Foreign(
        module,
        IMAGENET if config is None else (_colour(config.mean), _colour(config.std)),
        f"timm {name}, head from scratch" if pretrained else FROM_SCRATCH,
        {**options, "num_classes": classes},
    )


def _extractor(name: str, options: Mapping[str, Any], *, pretrained: bool) -> Any:
    if not timm.is_model(name):
        similar = timm.list_models(f"{name[:3]}*") or timm.list_models()
        raise ConfigurationError(f"timm has no backbone {name!r}", remedy=known_words(name, similar))
    refused: Exception | None = None
    for any_size in _ANY_SIZE:
        given = {**any_size, **options}
        try:
            found: Any = timm.create_model(name, features_only=True, **given)
            if len(set(found.feature_info.reduction())) == 1 and "out_indices" not in options:
                blocks = len(found.feature_info.info)
                given["out_indices"] = sorted({-(-blocks * part // STAGES) - 1 for part in range(1, STAGES + 1)})
                found = timm.create_model(name, features_only=True, **given)
        except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError) as error:
            refused = error
            continue
        if not pretrained:
            return found
        with downloading(f"timm's weights {name}"):
            return timm.create_model(name, features_only=True, pretrained=True, **given)
    raise ConfigurationError(
        f"{PREFIX}{name} gives no features with the options {dict(options)} ({refused})",
        remedy="correct `options:`, or take a backbone of timm.list_models()",
    )


def _colour(values: tuple[float, ...]) -> Colour:
    red, green, blue = values
    return (red, green, blue)


def _channels_last(extractor: nn.Module, channels: list[int], multiple: int) -> bool:
    """Measured on an image whose grid cannot be taken for channels of any stage."""
    training = extractor.training
    with torch.no_grad():
        last = extractor.eval()(torch.zeros(1, 3, multiple, 2 * multiple))[-1]
    extractor.train(training)
    return last.shape[1] != channels[-1]
