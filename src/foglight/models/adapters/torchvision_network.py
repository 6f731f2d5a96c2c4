"""`torchvision:NAME`: the segmentation networks of torchvision (deeplabv3, fcn, lraspp).

    logits = classifier(backbone(image)),    without torchvision's resize to the image, so on the head's own grid

`pretrained: true` takes the default weights of the name (21 classes of VOC); the layer that makes the logits is anew
where the data has other classes, and `weights_source` says so. Source: torchvision at the installed version. Cost: the
network's.
"""

from collections.abc import Mapping
from typing import Any, Final, final

import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.adapters.foreign import Foreign, ForeignModule, name_head, require_classes
from foglight.models.adapters.libraries import downloading
from foglight.models.network import FROM_SCRATCH, IMAGENET
from foglight.spelling import known_words

PREFIX: Final = "torchvision:"
_PROBE: Final = (64, 64)


@final
class TorchvisionNetwork(ForeignModule):
    """A torchvision segmentation network on its head's own grid.

    Args:
        inner: with `backbone`, `classifier` and perhaps `aux_classifier`.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner, stages=())
        blocks = [name for name, _ in inner.get_submodule("backbone").named_children()]
        layers = {f"layer{number}": f"inner.backbone.layer{number}" for number in range(1, 5)}
        self.tap_names = {name: path for name, path in layers.items() if name in blocks}
        self.tap_names = {**self.tap_names, "backbone": f"inner.backbone.{blocks[-1]}"}

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits, and those of the auxiliary head where there is one."""
        parts = dict(self.inner.named_children())
        features: dict[str, Any] = parts["backbone"](image)
        # LR-ASPP merges two stages; the others read one.
        logits = parts["classifier"](features.get("out", features))
        if not auxiliary or "aux_classifier" not in parts:
            return logits, ()
        return logits, (parts["aux_classifier"](features["aux"]),)


def build(name: str, *, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None) -> Foreign:
    """The network `torchvision:NAME`.

    Raises:
        ConfigurationError: for a name or an option that torchvision does not know.
        CheckpointError: if its weights cannot be had.
    """
    known = torchvision.models.list_models(module=torchvision.models.segmentation)
    if name not in known:
        raise ConfigurationError(f"torchvision has no segmentation network {name!r}", remedy=known_words(name, known))
    default: Any = torchvision.models.get_model_weights(name)
    weights = default.DEFAULT if pretrained else None
    names = tuple(weights.meta["categories"]) if weights else ()
    classes, rest = require_classes(PREFIX + name, num_classes or len(names) or None, options)
    try:
        inner = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes, **rest)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{PREFIX}{name}: {error}", remedy="correct `options:`") from error
    source = FROM_SCRATCH
    if weights is not None:
        with downloading(f"torchvision's weights {weights}"):
            state = weights.get_state_dict(progress=False)
        source = f"torchvision {weights}{_load(inner, state, name)}"
    module = TorchvisionNetwork(inner)
    name_head(module, _PROBE)
    class_names = names if len(names) == classes else ()
    return Foreign(module, IMAGENET, source, {**options, "num_classes": classes}, class_names)


def _load(inner: nn.Module, state: Mapping[str, Tensor], name: str) -> str:
    """Load everything but what has another number of classes; returns what is anew, in words."""
    own = inner.state_dict()
    anew = sorted(key for key in own if key in state and own[key].shape != state[key].shape)
    different = sorted(key for key in set(own) ^ set(state) if not key.startswith("aux_classifier."))
    if different or not all("classifier" in key for key in anew):
        raise CheckpointError(
            f"torchvision's weights do not fit {name}: {[*different, *anew][:3]}", remedy="leave out the options"
        )
    fitting = {key: values for key, values in state.items() if key in own and key not in anew}
    inner.load_state_dict({**own, **fitting})
    return f", from scratch: {', '.join(anew)}" if anew else ""
