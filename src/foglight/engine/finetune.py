"""A teacher learns the data before it teaches: supervised steps of its head, or of all of it.

    minimise the cross-entropy of the teacher's logits, resized to the label, over the training stream

With `scope: head` only the part that holds the classifier is trained and everything before it stays as it is, BatchNorm
statistics included; a network whose decoder is untrained too (U-Nets on pretrained encoders) wants `scope: all`. AdamW;
the learning rate falls linearly to zero. What was learnt is stored like adaptations, by a hash of all that it depends
on, and read back by the runs that share it. Cost: `steps` steps of the teacher, once.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foglight.config.schema import FinetuneConfig
from foglight.engine.checkpoint import load_checkpoint, save_checkpoint
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError, DataError
from foglight.losses.task.cross_entropy import CrossEntropy
from foglight.models.adapters.foreign import head_path
from foglight.models.network import Network
from foglight.types import Batch


def finetune(teacher: Network, batches: Iterable[Batch], config: FinetuneConfig) -> list[float]:
    """Train in place; returns the loss of every step.

    Raises:
        ConfigurationError: if the head cannot be told from the rest.
        DataError: if a loss is not finite.
    """
    trained = trained_part(teacher, config)
    loss = CrossEntropy(teacher.info(), None, auxiliary_weight=0.0)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / config.steps)
    values: list[float] = []
    teacher.eval().requires_grad_(False)
    trained.train().requires_grad_(True)
    for batch in islice(batches, config.steps):
        value = loss(teacher(batch.image, batch.extra).promote(), None, batch)["ce"]
        if not torch.isfinite(value):
            raise DataError(
                f"the teacher {teacher.name}: its cross-entropy is {value.item()} at step {len(values)} of finetuning",
                remedy="set a smaller `teacher.finetune.learning_rate`",
            )
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimiser.step()
        schedule.step()
        values.append(value.item())
    teacher.eval().requires_grad_(False)
    return values


def hash_after(teacher_hash: str, config: FinetuneConfig, data: Mapping[str, Any]) -> str:
    """What a teacher will be, before it is: a hash of what it was and of all that it will see.

    Args:
        teacher_hash: of its weights.
        config: how it is finetuned.
        data: the seed and the data set, JSON-ready.
    """
    content = [teacher_hash, config.model_dump(mode="json"), data]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def trained_part(teacher: Network, config: FinetuneConfig) -> nn.Module:
    """What is trained.

    Raises:
        ConfigurationError: if the head cannot be told from the rest.
    """
    if config.scope == "all":
        return teacher.module
    head = head_path(teacher.module)
    if head is None:
        raise ConfigurationError(
            f"the teacher {teacher.name} has no linear classifier by which its head could be told",
            remedy="set teacher.finetune.scope=all",
        )
    return teacher.module.get_submodule(head)


def finetuned(
    teacher: Network,
    batches: Callable[[int], Iterable[Batch]],
    config: FinetuneConfig,
    *,
    path: Path,
    progress: Progress,
) -> None:
    """Train the teacher in place, or read back what is stored under that path.

    Args:
        teacher: changed in place.
        batches: number of batches -> batches from the beginning of the stream.
        config: how.
        path: of the stored state; its name tells all that it depends on.
        progress: is told what is done.
    """
    what = f"{config.scope} trained on the data for {config.steps} steps"
    if path.exists():
        teacher.module.load_state_dict(load_checkpoint(path)["teacher"])
        progress.note(f"teacher {teacher.name}: {what}, read from {path}")
    else:
        start = time.perf_counter()
        values = finetune(teacher, batches(config.steps), config)
        seconds = time.perf_counter() - start
        save_checkpoint(path, {"teacher": teacher.module.state_dict(), "seconds": seconds})
        change = f"cross-entropy {values[0]:.3f} to {values[-1]:.3f}" if values else "no batch"
        progress.note(f"teacher {teacher.name}: {what} in {seconds:.1f} s, {change}")
    teacher.eval().requires_grad_(False)
    teacher.weights_source = f"{teacher.weights_source}; {what}"
