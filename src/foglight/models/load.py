"""A network as a user names it: a run folder or a student file, a registry name, or a name of another library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foglight.errors import ConfigurationError
from foglight.models.adapters.foreign import Foreign, ForeignModule
from foglight.models.adapters.inserted_dropout import OPTION as INSERT_DROPOUT
from foglight.models.adapters.inserted_dropout import insert_dropout
from foglight.models.adapters.light_head import BackboneNetwork
from foglight.models.adapters.own_module import PREFIX, OwnModule
from foglight.models.adapters.sources import PREFIXES, build_prefixed, is_prefixed
from foglight.models.convert import PUBLIC_MEAN, PUBLIC_STD, load_public_checkpoint
from foglight.models.dry_run import measure
from foglight.models.network import BuilderRecord, Colour, Network
from foglight.models.pretrained import load_pretrained_backbone
from foglight.models.registry import build_module, model_names
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.student_file import is_student, load_student
from foglight.models.weights import WeightsFile, load_strictly, read_weights
from foglight.spelling import known_words

Normalisation = tuple[Colour, Colour]


def load_network(
    name: str,
    *,
    num_classes: int | None = None,
    options: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    pretrained: bool | None = None,
    trust: bool = False,
    normalisation: Normalisation | None = None,
    align_corners: bool | None = None,
) -> Network:
    """The network of that name, with its weights.

    Args:
        name: a run folder, `student.safetensors`, `student.json`, a registry name, `module:package.mod:build`, or a
            network of another library: `hf:`, `smp:`, `torchvision:` or `timm:` and its name there.
        num_classes: k of the data; None takes it from a student file, or measures an own module.
        options: of the builder; `insert_dropout`, of any network, puts a dropout before its classifier.
        weights: a file to load, whole or not at all; public checkpoints of the CIRKD family are converted.
        pretrained: whether the backbone starts from public weights; None leaves it to the name: a checkpoint of
            transformers stands for its weights, every other name for an architecture.
        trust: whether a weights file with pickled objects may be opened.
        normalisation: mean and std; None takes the network's own: ImageNet's for registered networks, that of the
            checkpoint for public ones, the library's for other libraries', none for own modules.
        align_corners: None takes the network's own.

    Raises:
        ConfigurationError: for an unknown name, options that do not apply, or another number of classes.
        CheckpointError: for weights that cannot be read or do not fit.
    """
    path = Path(name)
    if not is_prefixed(name) and (is_student(path) or (path.exists() and name not in model_names())):
        given = {"options": options, "weights": weights, "pretrained": pretrained, "normalisation": normalisation}
        return _student(path, num_classes, align_corners, [key for key, value in given.items() if value])
    if weights is not None and pretrained:
        raise ConfigurationError(f"{name}: both weights and pretrained are given", remedy="give one of them")
    rest = dict(options or {})
    rate = rest.pop(INSERT_DROPOUT, None)
    if is_prefixed(name):
        # A file of weights stands in place of those of a checkpoint.
        wanted = False if weights is not None else pretrained
        built = _prefixed(name, num_classes, rest, wanted)
    else:
        built = Foreign(_registered(name, num_classes, rest), options=rest)
    module, own_normalisation, source = built.module, built.normalisation, built.source
    if pretrained and not is_prefixed(name):
        source = load_pretrained_backbone(module, name)
    if weights is not None:
        file = read_weights(weights, trust=trust)
        own_normalisation, report = _load_file(module, file, own_normalisation)
        source = f"{file.source} ({report})"
    if align_corners is not None:
        module.align_corners = align_corners
    builder_options = dict(built.options)
    if rate is not None:
        source = f"{source}; {insert_dropout(module, rate, name=name)}"
        builder_options[INSERT_DROPOUT] = rate
    measured = _measured_classes(module) if num_classes is None else num_classes
    mean, std = normalisation or own_normalisation
    return Network(
        module,
        num_classes=measured,
        mean=mean,
        std=std,
        name=name,
        builder=BuilderRecord(name, builder_options, measured),
        weights_source=source,
        class_names=built.class_names,
    )


def _prefixed(name: str, num_classes: int | None, options: Mapping[str, Any], pretrained: bool | None) -> Foreign:
    if pretrained and name.startswith(PREFIX):
        raise ConfigurationError(f"{name}: pretrained is for registered networks", remedy="let the builder load them")
    return build_prefixed(name, num_classes=num_classes, options=options, pretrained=pretrained)


def _student(path: Path, num_classes: int | None, align_corners: bool | None, given: list[str]) -> Network:
    if given:
        raise ConfigurationError(
            f"{path}: a student file brings its own {', '.join(given)}",
            remedy="leave them out, or name an architecture",
        )
    network = load_student(path)
    if num_classes is not None and network.num_classes != num_classes:
        raise ConfigurationError(
            f"{path}: expected {num_classes} classes, got {network.num_classes}",
            remedy="take a network trained on the same classes, or name an architecture and train it anew",
        )
    if align_corners is not None:
        network.module.align_corners = align_corners
    return network


def _registered(name: str, num_classes: int | None, options: Mapping[str, Any]) -> SegmentationModule:
    if name not in model_names():
        raise ConfigurationError(
            f"expected a network, got {name!r}, which is neither a registry name nor a file or folder here",
            remedy=f"{known_words(name, model_names())}; or a run folder, or a name with {', '.join(PREFIXES)}",
        )
    if num_classes is None:
        raise ConfigurationError(
            f"{name} is an untrained architecture, whose number of classes is not known",
            remedy="name a run folder or a student file",
        )
    return build_module(name, num_classes=num_classes, options=options)


def _load_file(
    module: SegmentationModule, file: WeightsFile, normalisation: Normalisation
) -> tuple[Normalisation, str]:
    """The normalisation that goes with the file, and a report of its keys."""
    # The user's own file has the names of the user's own module.
    wraps = isinstance(module, OwnModule | ForeignModule)
    target = module.inner if wraps and not _wrapped(file) else module
    public = {"layer1.0.conv1.weight", "pretrained.layer1.0.conv1.weight"} & file.state.keys()
    if public and not wraps and not isinstance(module, BackboneNetwork):
        report = load_public_checkpoint(module, file.state, source=str(file.path))
        return (PUBLIC_MEAN, PUBLIC_STD), f"converted: {report}"
    load_strictly(target, file.state, source=str(file.path))
    return normalisation, f"{len(file.state)} keys, every one of them fits"


def _wrapped(file: WeightsFile) -> bool:
    return all(key.startswith("inner.") for key in file.state)


def _measured_classes(module: SegmentationModule) -> int:
    return max(2, measure(module, (64 * module.size_multiple, 64 * module.size_multiple)).logits[1])
