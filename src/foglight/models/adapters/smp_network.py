"""`smp:ARCHITECTURE:ENCODER[:key=value,...]`: the networks of segmentation_models_pytorch.

    logits = convolution of the segmentation head,    without its upsampling and activation, so on the decoder's grid

They resize with aligned corners, as the library's own head does. The image is padded to a multiple of 32, which every
decoder accepts. `options` go to `smp.create_model`; `pretrained: true` gives the encoder its ImageNet weights, with
their normalisation. Source: qubvel-org/segmentation_models.pytorch at the installed version. Cost: the network's.
"""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, final

import yaml
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.models.adapters.foreign import Foreign, ForeignModule, looked_at, name_head, require_classes, stage_names
from foglight.models.adapters.libraries import downloading, library
from foglight.models.network import FROM_SCRATCH, IMAGENET, Colour
from foglight.spelling import known_words

PREFIX: Final = "smp:"
_MULTIPLE: Final = 32
_PROBE: Final = (64, 64)
_FORM: Final = "smp:ARCHITECTURE:ENCODER, such as smp:Unet:resnet18 or smp:FPN:mobilenet_v2:decoder_dropout=0.1"


@final
class ThroughStages:
    """A hook on the encoder: its features pass the stages. An object, so that a copied network has a copied hook.

    Args:
        stages: one for each feature that is kept.
        positions: of these features in the encoder's list.
    """

    def __init__(self, stages: nn.ModuleList, positions: list[int]) -> None:
        self.stages = stages
        self.positions = positions

    def __call__(self, _: nn.Module, __: tuple[object, ...], output: Any) -> Any:
        """The same structure, with features after their stages."""
        features = list(output[0] if isinstance(output, tuple) else output)
        seen = looked_at(self.stages, [features[position] for position in self.positions])
        for position, feature in zip(self.positions, seen, strict=True):
            features[position] = feature
        return (features, *output[1:]) if isinstance(output, tuple) else features


@final
class SmpNetwork(ForeignModule):
    """A network of segmentation_models_pytorch on its decoder's grid.

    Args:
        inner: a `SegmentationModel`; its head's upsampling is taken off.
    """

    align_corners = True
    size_multiple = _MULTIPLE

    def __init__(self, inner: Any) -> None:
        # The first feature is the image; encoders without a stage at stride 2 put an empty map there.
        positions = [index for index, count in enumerate(inner.encoder.out_channels) if index > 0 and count > 0]
        names = stage_names(5)
        super().__init__(inner, stages=[names[index - 1] for index in positions])
        inner.encoder.register_forward_hook(ThroughStages(self.stages, positions))
        if isinstance(inner.segmentation_head, nn.Sequential):
            for index in range(1, len(inner.segmentation_head)):
                inner.segmentation_head[index] = nn.Identity()

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits; there is no auxiliary head."""
        said = self.inner(image)
        return (said[0] if isinstance(said, tuple) else said), ()


def build(name: str, *, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None) -> Foreign:
    """The network `smp:ARCHITECTURE:ENCODER[:key=value,...]`.

    Raises:
        ConfigurationError: if the library is missing, or knows no such architecture, encoder or option.
        CheckpointError: if the encoder's weights cannot be had.
    """
    smp = library("segmentation_models_pytorch", extra="smp")
    architecture, encoder, written = _parsed(name)
    classes, rest = require_classes(PREFIX + name, num_classes, {**written, **options})
    _check_names(smp, architecture, encoder, rest)

    def create(weights: str | None) -> nn.Module:
        return smp.create_model(architecture, encoder, encoder_weights=weights, classes=classes, **rest)

    try:
        inner = create(None)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigurationError(
            f"{PREFIX}{name} cannot be built: {error}", remedy=f"correct its options; the form is {_FORM}"
        ) from error
    normalisation, source = IMAGENET, FROM_SCRATCH
    if pretrained:
        with downloading(f"smp's ImageNet weights of {encoder}"):
            inner = create("imagenet")
            normalisation = _normalisation(smp.encoders.get_preprocessing_params(encoder, "imagenet"))
        source = f"smp {encoder} imagenet (encoder), decoder from scratch"
    module = SmpNetwork(inner)
    name_head(module, _PROBE)
    return Foreign(module, normalisation, source, {**options, "num_classes": classes})


def _check_names(smp: ModuleType, architecture: str, encoder: str, rest: Mapping[str, Any]) -> None:
    known = {one.__name__.lower(): one.__name__ for one in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture.lower() not in known:
        raise ConfigurationError(
            f"smp has no architecture {architecture!r}", remedy=known_words(architecture, known.values())
        )
    encoders = smp.encoders.get_encoder_names()
    if encoder not in encoders and not encoder.startswith("tu-"):
        raise ConfigurationError(f"smp has no encoder {encoder!r}", remedy=known_words(encoder, encoders))

    legal = inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[architecture.lower()]).parameters
    unknown = sorted(set(rest) - set(legal))
    if unknown:  # the library itself would drop it without a word
        raise ConfigurationError(
            f"smp:{architecture} has no option {unknown[0]!r}", remedy=known_words(unknown[0], legal)
        )


def _parsed(name: str) -> tuple[str, str, dict[str, Any]]:
    """Architecture, encoder and the options in the name.

    >>> _parsed("Unet:resnet18:decoder_channels=[64, 32], decoder_use_norm=false")[2]
    {'decoder_channels': [64, 32], 'decoder_use_norm': False}
    """
    architecture, _, rest = name.partition(":")
    encoder, _, written = rest.partition(":")
    if not architecture or not encoder:
        raise ConfigurationError(f"expected {_FORM}, got {PREFIX}{name}", remedy="name an encoder after a colon")
    try:
        options = yaml.safe_load("{" + written.replace("=", ": ") + "}")
    except yaml.YAMLError:
        options = None
    if not isinstance(options, dict) or None in options.values():
        raise ConfigurationError(f"{PREFIX}{name}: cannot read its options", remedy=f"write {_FORM}")
    return architecture, encoder, {str(key): value for key, value in options.items()}


def _normalisation(parameters: Mapping[str, Any]) -> tuple[Colour, Colour]:
    mean, std = tuple(parameters["mean"]), tuple(parameters["std"])
    scale = 1.0 / parameters["input_range"][1]  # some encoders were trained on 0..255
    if parameters["input_space"] != "RGB":
        raise ConfigurationError(
            f"smp's weights want {parameters['input_space']} images, foglight's are RGB",
            remedy="take another encoder, or set pretrained: false",
        )
    return tuple(value * scale for value in mean), tuple(value * scale for value in std)
