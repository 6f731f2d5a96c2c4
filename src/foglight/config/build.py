"""From a recipe to objects: the only place that reads every registry.

The student is built under a seed of its own before anything else, and each loss under its own, so that adding a loss
changes nobody's initial weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from foglight.config.schema import DataConfig, LossConfig, ModelConfig, RunConfig
from foglight.data.dataset import SegmentationDataset, class_frequencies, class_weights
from foglight.data.groups import Part
from foglight.data.label_share import split_labels
from foglight.data.loading import EvaluationBatches, evaluation_batches, training_batches
from foglight.data.pseudo_labels import PseudoLabelled
from foglight.data.registry import build_dataset, build_unlabelled
from foglight.data.sample import Sample, collate
from foglight.data.stream import TrainingStream
from foglight.data.transforms import Augment
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.engine.terms import LossSpec
from foglight.errors import ConfigurationError
from foglight.losses.base import DistillationLoss, PixelLoss
from foglight.losses.registry import build_loss
from foglight.losses.weighting.weighted import PixelWeighted
from foglight.models.class_map import read_class_map, with_class_map
from foglight.models.load import Normalisation, load_network
from foglight.models.network import IMAGENET, UNNORMALISED, Network
from foglight.types import ModelInfo, derive_seed

# The value of `class_weights` in a recipe that asks for 1/sqrt(frequency) of the training part.
FROM_DATA: Final = "inverse-sqrt"


@final
@dataclass(frozen=True)
class Data:
    """The three parts of a data set and the stream over the first.

    Attributes:
        train: what the student learns from.
        tune: what selects.
        report: what is reported; never selected on.
        stream: augmented training frames by position.
    """

    train: SegmentationDataset
    tune: SegmentationDataset
    report: SegmentationDataset
    stream: TrainingStream


def build_part(config: DataConfig, part: Part) -> SegmentationDataset:
    """One part of a data set, resized and cached as the recipe says."""
    return build_dataset(
        config.name,
        part=part,
        root=config.root,
        split=config.split,
        size=config.size,
        cache=config.cache,
        options=config.options,
    )


def build_data(config: DataConfig, *, seed: int) -> Data:
    """All parts and the training stream."""
    train, tune, report = build_part(config, "train"), build_part(config, "tune"), build_part(config, "report")
    augment = Augment(
        crop=config.augment.crop,
        resize=config.augment.resize,
        scale=config.augment.scale,
        flip=config.augment.flip,
        colour_jitter=config.augment.colour_jitter,
    )
    train, unlabelled = _labelled_and_not(train, config, seed)
    stream = TrainingStream(
        train, augment, seed=seed, unlabelled=unlabelled, unlabelled_fraction=config.unlabeled_fraction
    )
    return Data(train, tune, report, stream)


def _labelled_and_not(
    train: SegmentationDataset, config: DataConfig, seed: int
) -> tuple[SegmentationDataset, SegmentationDataset | None]:
    """The labelled frames, and those without labels, or with the pseudo-labels that the recipe asks for."""
    unlabelled = None
    if config.unlabeled is not None:
        unlabelled = build_unlabelled(config.unlabeled, size=config.size, cache=config.cache)
    elif config.labelled_share is not None:
        train, unlabelled = split_labels(train, config.labelled_share, seed=seed)
    if unlabelled is None or config.pseudo_labels is None:
        return train, unlabelled
    network = build_model(ModelConfig(name=config.pseudo_labels), num_classes=None).eval()
    if network.num_classes != train.info.num_classes:
        raise ConfigurationError(
            f"data.pseudo_labels: {network.name} predicts {network.num_classes} classes, "
            f"the data has {train.info.num_classes}",
            remedy="name a network for these classes",
        )
    return train, PseudoLabelled(unlabelled, partial(_predicted_label, network))


@torch.no_grad()
def _predicted_label(network: Network, sample: Sample) -> Tensor:
    batch = collate([sample])
    predicted = predict(network, batch.image, batch.extra, settings=EvaluateSettings(), extra_kinds=batch.extra_kinds)
    return predicted.argmax(dim=1)[0].to(torch.uint8)


def micro_batches(
    data: Data, config: DataConfig, first: int, number: int, *, rank: int = 0, world_size: int = 1
) -> Any:
    """A stretch of the training stream."""
    return training_batches(
        data.stream,
        batch_size=config.batch_size,
        first_batch=first,
        num_batches=number,
        workers=config.workers,
        rank=rank,
        world_size=world_size,
    )


def whole_images(
    dataset: SegmentationDataset, config: DataConfig, *, rank: int = 0, world_size: int = 1
) -> EvaluationBatches:
    """Every frame of this process once, un-augmented."""
    return evaluation_batches(
        dataset, batch_size=config.batch_size, workers=config.workers, rank=rank, world_size=world_size
    )


def build_student(config: RunConfig, *, num_classes: int, trust: bool = False) -> Network:
    """The student under its own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, "student weights"))
        return build_model(config.student, num_classes=num_classes, trust=trust)


def build_model(config: ModelConfig, *, num_classes: int | None, trust: bool = False) -> Network:
    """A network as a recipe names it."""
    return load_network(
        config.name,
        num_classes=num_classes,
        options=config.options,
        weights=None if config.weights is None else Path(config.weights),
        pretrained=config.pretrained,
        trust=trust,
        normalisation=normalisation(config),
        align_corners=config.align_corners,
    )


def build_teacher(config: ModelConfig, *, class_names: Sequence[str], seed: int, trust: bool = False) -> Network:
    """A teacher on the classes of the data, where its recipe says how: by a class map, or a head that is to be trained.

    Raises:
        ConfigurationError: for a class map that does not fit the teacher or the data.
    """
    # A head that will be trained on the data has the data's classes from the start.
    num_classes = len(class_names) if config.finetune else None
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "teacher weights"))
        network = build_model(config, num_classes=num_classes, trust=trust)
    if config.class_map is None:
        return network
    return with_class_map(network, read_class_map(config.class_map, network, class_names))


def normalisation(config: ModelConfig) -> Normalisation | None:
    """Mean and standard deviation; None leaves the network's own."""
    match config.normalisation:
        case None:
            return None
        case "imagenet":
            return IMAGENET
        case "none":
            return UNNORMALISED
        case given:
            return (given["mean"], given["std"])


def build_specs(losses: tuple[LossConfig, ...], *, seed: int, train: SegmentationDataset | None) -> list[LossSpec]:
    """The losses of a recipe, not yet built; class weights asked `inverse-sqrt` are measured on `train`."""
    specs: list[LossSpec] = []
    for index, loss in enumerate(losses):
        options = _resolve_class_weights(loss, train)
        build = partial(_build_loss, loss, options, derive_seed(seed, "loss weights", index, loss.name))
        specs.append(LossSpec(loss.name, build, loss.weight))
    return specs


def _resolve_class_weights(loss: LossConfig, train: SegmentationDataset | None) -> Mapping[str, Any]:
    if loss.options.get("class_weights") != FROM_DATA:
        return loss.options
    if train is None:
        raise ConfigurationError(
            f"{loss.name}: class_weights: {FROM_DATA} needs a data set, got none", remedy="give the weights as a list"
        )
    return {**loss.options, "class_weights": class_weights(class_frequencies(train)).tolist()}


def _build_loss(
    config: LossConfig, options: Mapping[str, Any], seed: int, student: ModelInfo, teacher: ModelInfo | None
) -> DistillationLoss:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        loss = build_loss(config.name, student, teacher, options)
    if config.pixel_weight is None:
        return loss
    if not isinstance(loss, PixelLoss):
        raise ConfigurationError(
            f"{config.name}: a pixel weight needs a loss that is a sum over pixels, got {type(loss).__name__}",
            remedy="remove `pixel_weight:` from this loss",
        )
    return PixelWeighted(loss, config.pixel_weight, student, teacher)
