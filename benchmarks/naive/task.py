"""Losses with the labels, on logits that are upsampled as a whole."""

from math import log
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.types import Batch, ModelOutput
from naive.logits import divergence, upsampled

FORMS: Final = ("cross_entropy", "focal_entropy", "cross_entropy_and_kl")


def cross_entropy(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    return F.cross_entropy(upsampled(student, batch), batch.label, ignore_index=batch.ignore_index)


def focal_entropy(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    logits = upsampled(student, batch)
    probability = F.softmax(logits, dim=1)
    valid = batch.label != batch.ignore_index
    label = torch.where(valid, batch.label, 0)
    right = probability.gather(1, label.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        wrong = (probability.argmax(1) != label).to(logits.dtype)
        weight = (wrong + loss.gamma * (1 - right)).clamp(max=loss.cap)
    entropy = -(probability * probability.log()).sum(1)
    values = weight * -right.log() - loss.entropy_weight * weight / loss.cap * entropy / log(logits.shape[1])
    return values[valid].mean()


def cross_entropy_and_kl(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = upsampled(student, batch), upsampled(teacher, batch)
    return F.cross_entropy(ours, batch.label, ignore_index=batch.ignore_index) + divergence(ours, theirs).sum(1).mean()
