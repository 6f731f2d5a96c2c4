"""Losses between relations of positions, channels, classes or images."""

from itertools import combinations, product
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.types import Batch, ModelOutput
from naive.features import read
from naive.logits import on_grid

FORMS: Final = ("sp", "rkd", "nst", "skd_pairwise", "ifvd", "dsd", "cirkd_minibatch")


def of(loss: Any, student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
    return student.features[loss.pair.student_tap], teacher.features[loss.pair.teacher_tap]


def sp(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = (feature.flatten(1) for feature in read(loss.pairs[0], student, teacher))
    return (F.normalize(ours @ ours.T) - F.normalize(theirs @ theirs.T)).pow(2).mean()


def rkd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    distances, angles = [], []
    for feature in read(loss.pairs[0], student, teacher):
        cells = F.adaptive_avg_pool2d(feature, loss.grid)
        points = cells.flatten(2).transpose(1, 2).flatten(0, 1)
        differences = points[None] - points[:, None]
        apart = differences.norm(dim=2)
        distances.append(apart / apart[apart > 0].mean())
        directions = F.normalize(differences, dim=2)
        angles.append(directions @ directions.transpose(1, 2))
    return F.smooth_l1_loss(*distances) + F.smooth_l1_loss(*angles)


def nst(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = (F.normalize(feature.flatten(2), dim=2) for feature in read(loss.pairs[0], student, teacher))

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        return (first[:, :, None] * second[:, None]).sum(3).pow(2).mean((1, 2))

    return (kernel(ours, ours) + kernel(theirs, theirs) - 2 * kernel(ours, theirs)).mean()


def skd_pairwise(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    nodes = (F.max_pool2d(feature, loss.pool, ceil_mode=True) for feature in of(loss, student, teacher))
    ours, theirs = (F.normalize(feature.flatten(2)) for feature in nodes)
    return (ours.transpose(1, 2) @ ours - theirs.transpose(1, 2) @ theirs).pow(2).mean()


def ifvd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    features = of(loss, student, teacher)
    label = on_grid(batch.label, features[0])
    similarities = []
    for feature in features:
        # Ignored positions are their own centre.
        centre = feature
        for index in range(loss.classes):
            mask = (label == index).unsqueeze(1).to(feature.dtype).expand_as(feature)
            mean = (mask * feature).sum((2, 3), keepdim=True) / (mask.sum((2, 3), keepdim=True) + 1e-6)
            centre = (1 - mask) * centre + mask * mean
        similarities.append(F.cosine_similarity(feature, centre))
    return F.mse_loss(*similarities)


def dsd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    layers_s = [student.features[taps.student_tap] for taps in loss.pairs] + [student.logits]
    layers_t = [teacher.features[taps.teacher_tap] for taps in loss.pairs] + [teacher.logits]
    attentions = [[F.normalize(f.pow(2).sum(1).flatten(1)) for f in layers] for layers in (layers_s, layers_t)]
    residuals = [[F.normalize(b - a) for a, b in combinations(maps, 2)] for maps in attentions]
    pixel = torch.stack([F.mse_loss(ours, theirs) for ours, theirs in zip(*residuals, strict=True)]).mean()
    grams = []
    for logits in (student.logits, teacher.logits):
        p = F.softmax(F.avg_pool2d(logits, loss.pool, ceil_mode=True).flatten(2) / loss.temperature, dim=2)
        grams.append(p @ p.transpose(1, 2))
    return pixel + F.mse_loss(*grams)


def cross_image(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The mean over ordered pairs of images of a divergence of similarities; vectors (b n c)."""
    total = student.new_zeros(())
    for a, b in product(range(len(student)), repeat=2):
        log_s = F.log_softmax(student[a] @ student[b].T / temperature, dim=1)
        t = F.softmax(teacher[a] @ teacher[b].T / temperature, dim=1)
        total = total + F.kl_div(log_s, t, reduction="batchmean")
    return total / len(student) ** 2


def cirkd_minibatch(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = (F.normalize(feature).flatten(2).transpose(1, 2) for feature in of(loss, student, teacher))
    return cross_image(ours, theirs, loss.temperature)
