"""A network as a user names it: a run folder or a student file, a registry name, or `module:package.mod:build`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foglight.errors import ConfigurationError
from foglight.models.adapters.own_module import PREFIX, OwnModule, build_own_module
from foglight.models.convert import PUBLIC_MEAN, PUBLIC_STD, load_public_checkpoint
from foglight.models.dry_run import measure
from foglight.models.network import FROM_SCRATCH, IMAGENET, UNNORMALISED, BuilderRecord, Colour, Network
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
    pretrained: bool = False,
    trust: bool = False,
    normalisation: Normalisation | None = None,
    align_corners: bool | None = None,
) -> Network:
    """The network of that name, with its weights.

    Args:
        name: a run folder, `student.safetensors`, `student.json`, a registry name, or `module:package.mod:build`.
        num_classes: k of the data; None takes it from a student file, or measures an own module.
        options: of the builder.
        weights: a file to load, whole or not at all; public checkpoints of the CIRKD family are converted.
        pretrained: whether the backbone starts from timm's ImageNet weights.
        trust: whether a weights file with pickled objects may be opened.
        normalisation: mean and std; None takes the network's own: ImageNet's for registered networks, that of the
            checkpoint for public ones, none for own modules.
        align_corners: None takes the network's own.

    Raises:
        ConfigurationError: for an unknown name, options that do not apply, or another number of classes.
        CheckpointError: for weights that cannot be read or do not fit.
    """
    path = Path(name)
    if not name.startswith(PREFIX) and (is_student(path) or (path.exists() and name not in model_names())):
        given = {"options": options, "weights": weights, "pretrained": pretrained, "normalisation": normalisation}
        return _student(path, num_classes, align_corners, [key for key, value in given.items() if value])
    if weights is not None and pretrained:
        raise ConfigurationError(f"{name}: both weights and pretrained are given", remedy="give one of them")
    options = dict(options or {})
    own = name.startswith(PREFIX)
    if own:
        module = build_own_module(name, num_classes=num_classes, options=options)
        own_normalisation: Normalisation = UNNORMALISED
    else:
        module = _registered(name, num_classes, options)
        own_normalisation = IMAGENET
    source = FROM_SCRATCH
    if pretrained and own:
        raise ConfigurationError(f"{name}: pretrained is for registered networks", remedy="let the builder load them")
    if pretrained:
        source = load_pretrained_backbone(module, name)
    if weights is not None:
        file = read_weights(weights, trust=trust)
        own_normalisation, report = _load_file(module, file, own_normalisation)
        source = f"{file.source} ({report})"
    if align_corners is not None:
        module.align_corners = align_corners
    measured = _measured_classes(module) if num_classes is None else num_classes
    mean, std = normalisation or own_normalisation
    builder = BuilderRecord(name, options, measured)
    return Network(module, num_classes=measured, mean=mean, std=std, name=name, builder=builder, weights_source=source)


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
            remedy=f"{known_words(name, model_names())}; or a run folder, or module:package.mod:build",
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
    target = module.inner if isinstance(module, OwnModule) and not _wrapped(file) else module
    public = {"layer1.0.conv1.weight", "pretrained.layer1.0.conv1.weight"} & file.state.keys()
    if public and not isinstance(module, OwnModule):
        report = load_public_checkpoint(module, file.state, source=str(file.path))
        return (PUBLIC_MEAN, PUBLIC_STD), f"converted: {report}"
    load_strictly(target, file.state, source=str(file.path))
    return normalisation, f"{len(file.state)} keys, every one of them fits"


def _wrapped(file: WeightsFile) -> bool:
    return all(key.startswith("inner.") for key in file.state)


def _measured_classes(module: SegmentationModule) -> int:
    return max(2, measure(module, (64 * module.size_multiple, 64 * module.size_multiple)).logits[1])
