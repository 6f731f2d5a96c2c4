"""Losses between features that consist mostly of a network: it is shared, what compares its outputs is not."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.normal import standard_normal
from foglight.types import Batch, ModelOutput
from naive.features import read

FORMS: Final = ("ft", "mgd", "attnfd", "diffkd")


def ft(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.pair, student, teacher)
    with torch.no_grad():
        theirs = loss.paraphraser.encoder(theirs)
    return (F.normalize(loss.translator(ours).flatten(1)) - F.normalize(theirs.flatten(1))).abs().mean()


def mgd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.taps, student, teacher)
    ours = loss.connector(ours)
    drawn = loss.draw(batch, {"mask": (len(ours), 1, *ours.shape[2:])})["mask"]
    visible = ours * torch.where(drawn > 1 - loss.mask_ratio, 0, 1)
    return loss.alpha / len(ours) * F.mse_loss(loss.generator(visible), theirs, reduction="sum")


def attnfd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    terms: list[Tensor] = []
    for taps, own, given, connector in zip(
        loss.pairs, loss.student_attention, loss.adapt_modules, loss.connectors, strict=True
    ):
        ours = connector(own(student.features[taps.student])).flatten(1)
        with torch.no_grad():
            theirs = given(teacher.features[taps.teacher], running=True).flatten(1)
        difference = ours / ours.norm(dim=1, keepdim=True) - theirs / theirs.norm(dim=1, keepdim=True)
        terms.append(difference.pow(2).sum(1).mean())
    return torch.stack(terms).sum()


def diffkd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = read(loss.taps, student, teacher)
    encoded = loss.encoder(theirs)
    reconstruction, target = F.mse_loss(loss.decoder(encoded), theirs), encoded.detach()
    ours = loss.connector(ours)
    shapes = {"start": tuple(ours.shape), "noise": tuple(target.shape), "step": (len(target),)}
    drawn = loss.draw(batch, shapes)
    start, noise = (standard_normal(drawn[name].to(ours.dtype)) for name in ("start", "noise"))
    gamma = loss.noise_adapter(ours)
    x, shares = gamma * ours + (1 - gamma) * start, loss.shares
    for step in (400, 300, 200, 100, 0):
        told = loss.denoiser(x, torch.full((len(x),), step, device=x.device))
        clean = (x - (1 - shares[step]).sqrt() * told) / shares[step].sqrt()
        before = shares[step - 100] if step else torch.ones_like(shares[0])
        x = before.sqrt() * clean + (1 - before).sqrt() * told
    step = (drawn["step"] * 1000).long()
    share = shares[step][:, None, None, None]
    told = loss.denoiser(share.sqrt() * target + (1 - share).sqrt() * noise, step)
    return F.mse_loss(loss.projection(x), target) + F.mse_loss(told, noise) + reconstruction
