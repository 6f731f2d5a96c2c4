"""Losses between features that need no network of their own beyond a connector."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.losses.tap_pairs import TapPair
from foglight.types import Batch, ModelOutput

FORMS: Final = ("fitnet", "at", "ofd", "ickd", "vid", "lad", "arfd", "maskd", "pad", "avatar")


def read(taps: tuple[str, str] | TapPair, student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
    ours, theirs = (taps.student, taps.teacher) if isinstance(taps, TapPair) else taps
    return student.features[ours], teacher.features[theirs]


def fitnet(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pair, student, teacher)
    return F.mse_loss(loss.regressor(ours), theirs)


def at(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = (F.normalize(feature.pow(2).mean(1).flatten(1)) for feature in read(loss.pairs[0], student, teacher))
    return (ours - theirs).pow(2).mean()


def ofd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    total = student.logits.new_zeros(())
    for taps, divisor, connector, margin in zip(loss.pairs, loss.divisors, loss.connectors, loss.margins, strict=True):
        ours, theirs = connector(student.features[taps.student]), teacher.features[taps.teacher]
        target = torch.max(theirs, margin.margin.to(theirs)[:, None, None])
        squares = F.mse_loss(ours, target, reduction="none")
        total = total + (squares * ((ours > target) | (target > 0)).to(ours.dtype)).sum() / divisor
    return loss.scale / len(student.logits) * total


def ickd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pair, student, teacher)
    ours, theirs = loss.connector(ours).flatten(2), theirs.flatten(2)
    ours, theirs = (F.normalize(feature @ feature.transpose(1, 2), dim=2) for feature in (ours, theirs))
    return (ours - theirs).pow(2).sum() / ours.shape[:2].numel()


def vid(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pairs[0], student, teacher)
    (head,) = loss.heads
    variance = (torch.log(1 + torch.exp(head.pre_variance)) + 1e-5)[:, None, None]
    return 0.5 * ((head.regressor(ours) - theirs).pow(2) / variance + variance.log()).mean()


def lad(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pair, student, teacher)
    return (1 - F.cosine_similarity(loss.connector(ours), theirs)).mean()


def recalibrated(feature: Tensor) -> Tensor:
    deviation = (feature - feature.mean((1, 2, 3), keepdim=True)).pow(2)
    spread = deviation.std((1, 2, 3), unbiased=False, keepdim=True)
    return torch.exp(-deviation / spread).flatten(2)


def hsic(first: Tensor, second: Tensor) -> Tensor:
    n = first.shape[-1]
    centring = torch.eye(n).to(first) - 1 / n
    return torch.einsum("bij,bji->b", first @ centring, second @ centring) / (n - 1) ** 2


def arfd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pairs[0], student, teacher)
    ours = loss.student_align[0](ours)
    theirs = F.relu(F.batch_norm(theirs, None, None, training=True))
    ours, theirs = (k @ k.transpose(1, 2) for k in map(recalibrated, (ours, theirs)))
    return (1 - hsic(ours, theirs) / (hsic(ours, ours) * hsic(theirs, theirs)).sqrt()).mean()


def maskd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.taps, student, teacher)
    ours = loss.connector(ours)
    masks = torch.sigmoid(torch.einsum("nc,bchw->bnhw", loss.tokens.vectors, theirs)).unsqueeze(2)
    squares = (masks * ours.unsqueeze(1) - masks * theirs.unsqueeze(1)).pow(2)
    tokens, channels = masks.shape[1], ours.shape[1]
    return (squares / (1e-5 + masks.sum((3, 4), keepdim=True))).sum() / (2 * len(ours) * tokens * channels)


def pad(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.taps, student, teacher)
    ours = loss.connector(ours)
    log_variance = loss.variance(ours).clamp(-loss.bound, loss.bound)
    return ((theirs - ours).pow(2) / (1e-6 + log_variance.exp()) + log_variance).mean()


def avatar(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.taps, student, teacher)
    drawn = loss.draw(batch, {"dropout 0": tuple(theirs.shape)})["dropout 0"]
    perturbed = theirs * (drawn >= loss.rate) / (1 - loss.rate)
    ours, theirs = loss.student_norm(loss.connector(ours)).flatten(2), loss.teacher_norm(perturbed).flatten(2)
    s, t = F.softmax(ours, 2), F.softmax(theirs, 2)
    return (t * (t.log() - s.log())).sum(2).mean()
