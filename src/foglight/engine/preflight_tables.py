"""What a run is made of, as plain rows: its networks, the taps that losses read, and the modules that losses added."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from foglight.engine.cost import parameter_count
from foglight.engine.distiller import Distiller
from foglight.engine.untouched import untouched
from foglight.losses.base import DistillationLoss
from foglight.models.ensemble import Ensemble
from foglight.models.network import Colour, Network
from foglight.types import Batch


@final
@dataclass(frozen=True)
class Normalisation:
    """What a network does to red, green, blue in [0, 1]: (x - mean) / std.

    Attributes:
        mean: by colour.
        std: by colour.
    """

    mean: Colour
    std: Colour


@final
@dataclass(frozen=True)
class NetworkFacts:
    """One network of a run.

    Attributes:
        name: of its architecture.
        weights_source: what was loaded from where.
        parameters: trainable and frozen ones.
        normalisation: its own; None for an ensemble whose members differ.
        classes: k.
        stride: pixels of the image per logit.
    """

    name: str
    weights_source: str
    parameters: int
    normalisation: Normalisation | None
    classes: int
    stride: int


@final
@dataclass(frozen=True)
class TapRow:
    """A feature that a loss reads, on a batch of the run.

    Attributes:
        loss: which.
        side: student or teacher.
        tap: as the loss names it.
        channels: c.
        height: of the map in positions; None for a vector.
        width: likewise.
        stride: pixels of the image per position; 0 for a vector.
    """

    loss: str
    side: str
    tap: str
    channels: int
    height: int | None
    width: int | None
    stride: int


@final
@dataclass(frozen=True)
class ConnectorRow:
    """A module with parameters of its own that a loss brought along.

    Attributes:
        loss: which.
        module: its path inside the loss.
        kind: its class.
        shape: of its largest parameter.
        parameters: how many numbers it holds.
    """

    loss: str
    module: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def network_facts(network: Network | Ensemble, *, weights_source: str) -> NetworkFacts:
    """Of one network; whoever loaded it knows from where."""
    members = network.members if isinstance(network, Ensemble) else [network]
    normalisations = {member.normalisation for member in members}
    mean, std = members[0].normalisation
    return NetworkFacts(
        network.name,
        weights_source,
        parameter_count(network),
        Normalisation(mean, std) if len(normalisations) == 1 else None,
        network.num_classes,
        network.info().stride,
    )


@torch.no_grad()
def tap_rows(distiller: Distiller, batch: Batch) -> tuple[TapRow, ...]:
    """The features that every loss reads, by one forward of both networks.

    Raises:
        UserError: for a tap that never fires.
    """
    with untouched(distiller):
        distiller.train()
        student, teacher = distiller.outputs(batch)
    rows: list[TapRow] = []
    for spec, loss in zip(distiller.terms.specs, distiller.terms.built, strict=True):
        for tap in sorted(loss.requires.student_taps):
            rows.append(_row(spec.name, "student", tap, student.features[tap], batch))
        for tap in sorted(loss.requires.teacher_taps):
            if teacher is not None:
                rows.append(_row(spec.name, "teacher", tap, teacher.features[tap], batch))
    return tuple(rows)


def _row(loss: str, side: str, tap: str, feature: Tensor, batch: Batch) -> TapRow:
    channels, grid = feature.shape[1], feature.shape[2:]
    if len(grid) != 2:
        return TapRow(loss, side, tap, channels, None, None, 0)
    return TapRow(loss, side, tap, channels, grid[0], grid[1], round(batch.image.shape[-2] / grid[0]))


def connector_rows(distiller: Distiller) -> tuple[ConnectorRow, ...]:
    """Every module with parameters of its own that a loss holds, in the recipe's order."""
    terms = distiller.terms
    return tuple(
        row for spec, loss in zip(terms.specs, terms.built, strict=True) for row in _connectors_of(spec.name, loss)
    )


def _connectors_of(name: str, loss: DistillationLoss) -> Iterator[ConnectorRow]:
    for path, module in loss.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            largest = max(own, key=Tensor.numel)
            count = sum(parameter.numel() for parameter in own)
            yield ConnectorRow(name, path or "(itself)", type(module).__name__, tuple(largest.shape), count)
