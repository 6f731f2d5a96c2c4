"""Losses between logits."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.types import Batch, ModelOutput

FORMS: Final = ("kd", "kd_mse", "cwd", "dkd", "dwld", "dist", "wsld", "cud")


def upsampled(output: ModelOutput, batch: Batch) -> Tensor:
    return F.interpolate(output.logits, batch.label.shape[1:], mode="bilinear", align_corners=False)


def on_grid(label: Tensor, grid: Tensor) -> Tensor:
    return F.interpolate(label[:, None].double(), grid.shape[2:], mode="nearest").long()[:, 0]


def divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0, dim: int = 1) -> Tensor:
    s, t = F.softmax(student / temperature, dim), F.softmax(teacher / temperature, dim)
    return t * (t.log() - s.log())


def labels_and_mask(batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labels on the grid of the logits, where they hold, and one-hot."""
    label = on_grid(batch.label, logits)
    valid = label != batch.ignore_index
    label = torch.where(valid, label, 0)
    return label, valid, F.one_hot(label, logits.shape[1]).permute(0, 3, 1, 2)


def kd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = student.logits, teacher.logits
    if loss.grid == "label":
        ours, theirs = upsampled(student, batch), upsampled(teacher, batch)
    return loss.temperature**2 * divergence(ours, theirs, loss.temperature).sum(1).mean()


def kd_mse(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    return F.mse_loss(student.logits, teacher.logits)


def cwd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = student.logits.flatten(2), teacher.logits.flatten(2)
    return loss.temperature**2 * divergence(ours, theirs, loss.temperature, dim=2).sum(2).mean()


def decoupled(student: Tensor, teacher: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The divergence of (label, rest), and the entries of that of the other classes."""
    s, t = F.softmax(student, 1), F.softmax(teacher, 1)
    label_s, label_t = (s * target).sum(1), (t * target).sum(1)
    rest_s, rest_t = (s * (1 - target)).sum(1), (t * (1 - target)).sum(1)
    both = label_t * (label_t / label_s).log() + rest_t * (rest_t / rest_s).log()
    log_s, log_t = F.log_softmax(student - 1000 * target, 1), F.log_softmax(teacher - 1000 * target, 1)
    return both, log_t.exp() * (log_t - log_s)


def dkd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    _, valid, target = labels_and_mask(batch, student.logits)
    both, entries = decoupled(student.logits, teacher.logits, target)
    return (loss.alpha * both + loss.beta * entries.sum(1))[valid].mean()


def dwld(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    _, valid, target = labels_and_mask(batch, student.logits)
    weight = loss.controller(F.log_softmax(student.logits.detach(), 1))
    weight = (weight * (1 - target)).sum(1) / (target.shape[1] - 1)
    weight = weight * loss.beta_budget / weight[valid].mean()
    # The controller climbs.
    weight = 2 * weight.detach() - weight
    both, entries = decoupled(student.logits, teacher.logits, target)
    return (loss.alpha * both + weight * entries.sum(1))[valid].mean()


def pearson(first: Tensor, second: Tensor) -> Tensor:
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    return (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1) + 1e-8)


def dist(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    s, t = (
        F.softmax(output.logits, 1).transpose(0, 1).flatten(1).transpose(0, 1).contiguous()
        for output in (student, teacher)
    )
    return loss.beta * (1 - pearson(s, t).mean()) + loss.gamma * (1 - pearson(s.T, t.T).mean())


def wsld(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    label, valid, _ = labels_and_mask(batch, student.logits)
    with torch.no_grad():
        hard_s, hard_t = (F.cross_entropy(output.logits, label, reduction="none") for output in (student, teacher))
        weight = 1 - torch.exp(-hard_s / (hard_t + 1e-7))
    s, t = (F.softmax(output.logits / loss.temperature, 1) for output in (student, teacher))
    return loss.temperature**2 * (weight * -(t * s.log()).sum(1))[valid].mean()


def cud(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    _, valid, target = labels_and_mask(batch, student.logits)
    s, t = F.softmax(student.logits, 1), F.softmax(teacher.logits, 1)
    leading = F.one_hot(t.argmax(1), t.shape[1]).permute(0, 3, 1, 2)
    lead, labelled = (t * leading).sum(1, keepdim=True), (t * target).sum(1, keepdim=True)
    moved = torch.minimum(loss.eta * lead, loss.margin * (lead - labelled)) * valid.unsqueeze(1)
    # Where the label leads, what is taken is given back.
    clipped = t - moved * leading + moved * target
    return (clipped * (clipped.log() - s.log())).sum(1).mean()
