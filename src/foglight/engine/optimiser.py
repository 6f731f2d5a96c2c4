"""The student's optimiser: every trainable parameter in exactly one group, grouped by exclusion.

Published code loses parameters here: VID's variances kept in a list, AttnFD's attention left out by a filter on types.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import nn

from foglight.config.schema import OptimConfig
from foglight.engine.schedule import cosine, poly, warmup
from foglight.losses.base import AdversarialLoss, DistillationLoss, TeacherAdapted

# Our own networks; torchvision and timm; segmentation_models.pytorch.
BACKBONES: Final = ("module.backbone.", "module.inner.backbone.", "module.inner.encoder.")


@final
@dataclass(frozen=True)
class ParameterSettings:
    """One optimiser group.

    Attributes:
        name: for messages.
        parameters: of this group alone.
        learning_rate_multiple: of the run's learning rate.
        clip_norm: of this group's own gradient, None where only the run's clipping holds.
        weight_decay: of this group, None for the run's.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    learning_rate_multiple: float = 1.0
    clip_norm: float | None = None
    weight_decay: float | None = None


def parameter_settings(
    student: nn.Module, losses: Sequence[DistillationLoss], *, head_multiple: float
) -> list[ParameterSettings]:
    """The student's groups (backbone and the rest), then each loss's own.

    Raises:
        ValueError: where a trainable parameter is in no group or in two.
    """
    trainable = {name: parameter for name, parameter in student.named_parameters() if parameter.requires_grad}
    backbone = tuple(p for name, p in trainable.items() if name.startswith(BACKBONES))
    rest = tuple(p for name, p in trainable.items() if not name.startswith(BACKBONES))
    groups = [
        ParameterSettings("student backbone", backbone),
        ParameterSettings("student", rest, head_multiple if backbone else 1.0),
    ]
    for loss in losses:
        elsewhere = {id(parameter) for parameter in _owned_elsewhere(loss)}
        for group in loss.optimiser_groups():
            own = tuple(p for p in group.parameters if p.requires_grad and id(p) not in elsewhere)
            settings = (group.learning_rate_multiple, group.clip_norm, group.weight_decay)
            groups.append(ParameterSettings(type(loss).__name__, own, *settings))
    groups = [group for group in groups if group.parameters]
    expected = list(trainable.values())
    for loss in losses:
        elsewhere = {id(parameter) for parameter in _owned_elsewhere(loss)}
        expected += [p for p in loss.parameters() if p.requires_grad and id(p) not in elsewhere]
    _check_exactly_once(expected, groups)
    return groups


def _owned_elsewhere(loss: DistillationLoss) -> Iterable[nn.Parameter]:
    # A discriminator has an optimiser of its own; adapted teacher modules are trained before, then frozen.
    for part in loss.modules():
        if isinstance(part, AdversarialLoss):
            yield from part.discriminator.parameters()
        if isinstance(part, TeacherAdapted):
            yield from part.adapt_modules.parameters()


def _check_exactly_once(expected: Sequence[nn.Parameter], groups: Sequence[ParameterSettings]) -> None:
    grouped = [id(parameter) for group in groups for parameter in group.parameters]
    orphans = {id(parameter) for parameter in expected} - set(grouped)
    if orphans or len(grouped) != len(set(grouped)):
        twice = len(grouped) - len(set(grouped))
        raise ValueError(
            f"expected every trainable parameter in exactly one optimiser group, got {len(orphans)} in none and "
            f"{twice} in two; mend the loss's `optimiser_groups`"
        )


def build_optimiser(groups: Sequence[ParameterSettings], config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over the groups; `base_lr` of each group is what the schedule multiplies."""
    described = [
        {
            "params": list(group.parameters),
            "lr": config.lr * group.learning_rate_multiple,
            "base_lr": config.lr * group.learning_rate_multiple,
            "weight_decay": config.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in groups
    ]
    match config.name:
        case "sgd":
            return torch.optim.SGD(
                described,
                lr=config.lr,
                momentum=config.momentum,
                nesterov=config.nesterov,
                weight_decay=config.weight_decay,
            )
        case "adamw":
            return torch.optim.AdamW(described, lr=config.lr, weight_decay=config.weight_decay)


def learning_rate_multiplier(step: int, total: int, config: OptimConfig) -> float:
    """The schedule at student update `step` of `total`, a pure function: nothing to store in a checkpoint."""
    decay = poly(step, total, power=config.power) if config.schedule == "poly" else cosine(step, total)
    return decay * warmup(step, round(config.warmup * total))


def set_learning_rate(optimiser: torch.optim.Optimizer, multiplier: float) -> None:
    """Scale every group's base learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * multiplier
