"""Losses that contrast against a memory, other channels or other pieces of a map."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.types import Batch, ModelOutput
from naive.logits import on_grid
from naive.relations import cross_image, of

FORMS: Final = ("cirkd_memory", "cirkd_channel", "af_dcd")


def memory_kl(student: Tensor, teacher: Tensor, keys: Tensor, temperature: float) -> Tensor:
    log_s = F.log_softmax(student @ keys.T / temperature, dim=1)
    t = F.softmax(teacher @ keys.T / temperature, dim=1)
    return F.kl_div(log_s, t, reduction="batchmean")


def sampled(memory: Any, order: Tensor, wanted: int) -> Tensor:
    """Of every queue the stored vectors that come first in `order`, copied into zeros one queue after another."""
    queues, slots, channels = memory.vectors.shape
    keys, end = torch.zeros(queues * min(wanted, slots), channels).to(order.device, memory.vectors.dtype), 0
    for queue, vectors in enumerate(memory.vectors):
        count = int(memory.count[queue])
        chosen = vectors[:count][order[:count].argsort()[:wanted]]
        keys[end : end + len(chosen)] = chosen
        end += len(chosen)
    return keys[:end]


@torch.no_grad()
def enqueue(loss: Any, teacher: Tensor, label: Tensor, batch: Batch) -> None:
    order = loss.draw(batch, {"store": (len(label), label[0].numel())})["store"]
    for index in range(loss.classes):
        for vectors, image, rank in zip(teacher.flatten(2), label.flatten(1), order, strict=True):
            positions = (image == index).nonzero().flatten()
            if len(positions):
                loss.regions.push(index, F.normalize(vectors[:, positions].mean(1), dim=0)[None])
                first = positions[rank[positions].argsort()[: loss.pixel_update_size]]
                loss.pixels.push(index, vectors[:, first].T)


def cirkd_memory(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    feature, taught = of(loss, student, teacher)
    label = on_grid(batch.label, feature)
    ours, theirs = F.normalize(loss.projector(feature)), F.normalize(taught)
    enqueue(loss, theirs, label, batch)
    ours, theirs = (vectors.permute(0, 2, 3, 1)[label != batch.ignore_index] for vectors in (ours, theirs))
    slots = {"pixel": loss.pixels.vectors.shape[1:2], "region": loss.regions.vectors.shape[1:2]}
    order = loss.draw(batch, slots)
    queues = zip((loss.pixels, loss.regions), order.values(), loss.keys_per_class, strict=True)
    return torch.stack([memory_kl(ours, theirs, sampled(*each).to(ours), loss.temperature) for each in queues]).sum()


def cirkd_channel(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = (F.avg_pool2d(feature, loss.pool) for feature in of(loss, student, teacher))
    if ours.shape[2:] != loss.grid:
        ours, theirs = (F.interpolate(feature, loss.grid, mode="bilinear") for feature in (ours, theirs))
    ours, theirs = F.normalize(loss.projector(ours).flatten(2), dim=2), F.normalize(theirs.flatten(2), dim=2)
    channels = theirs.flatten(0, 1)
    order = loss.draw(batch, {"store": channels.shape[:1]})["store"]
    loss.memory.push(0, channels[order.argsort()[: loss.update_size]])
    order = loss.draw(batch, {"slots": loss.memory.vectors.shape[1:2]})["slots"]
    keys = sampled(loss.memory, order, loss.contrast_size).to(ours)
    return (
        cross_image(ours, theirs, loss.temperature)
        + memory_kl(ours.flatten(0, 1), channels, keys, loss.temperature)
        + F.mse_loss(ours, theirs)
    )


def pieces(feature: Tensor, loss: Any) -> Tensor:
    """(patches, positions * groups, channels of a group) of the pooled map."""
    feature = F.max_pool2d(feature, loss.pool)
    rows, columns = (min(side, most) for side, most in zip(loss.patch, feature.shape[2:], strict=True))
    b, c, h, w = feature.shape
    feature = feature[:, :, : h // rows * rows, : w // columns * columns]
    cut = feature.reshape(b, loss.groups, c // loss.groups, h // rows, rows, w // columns, columns)
    return cut.permute(0, 3, 5, 4, 6, 1, 2).reshape(-1, rows * columns * loss.groups, c // loss.groups)


def af_dcd(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    ours, theirs = of(loss, student, teacher)
    drawn = loss.draw(batch, {"mask": (len(ours), 1, *ours.shape[2:])})["mask"]
    rebuilt = loss.generator(loss.align(ours) * torch.where(drawn > 1 - loss.mask_ratio, 0, 1))
    s, t = pieces(rebuilt, loss), pieces(theirs, loss)
    similarity = -(s[:, :, None] - t[:, None]).abs().sum(3) / loss.temperature
    group = torch.arange(s.shape[1], device=s.device) % loss.groups
    told = (group[:, None] != group[None]) | torch.eye(len(group), device=s.device).bool()
    contrast = -F.log_softmax(similarity.masked_fill(~told, -torch.inf), dim=2).diagonal(dim1=1, dim2=2)
    positions = len(s) * s.shape[1] // loss.groups
    return F.mse_loss(rebuilt, theirs, reduction="sum") / len(ours) + contrast.sum() / positions
