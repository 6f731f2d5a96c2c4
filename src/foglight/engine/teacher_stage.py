"""Losses that need modules on the teacher train them first; then the engine freezes them.

The teacher's own weights stay frozen throughout. Where a loss names insertions, its modules stand in the teacher's path
at those taps while adapting (AttnFD's attention sees the gradient of the teacher's own cross-entropy); in the
distillation that follows the teacher is plain again and the loss applies its modules itself.
"""

import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from foglight.engine.checkpoint import load_checkpoint, save_checkpoint
from foglight.engine.distiller import Distiller
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError
from foglight.losses.base import TeacherAdapted
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.models.taps import inserted
from foglight.types import Batch

LEARNING_RATE: Final = 1e-3


def adapt_teacher(
    loss: TeacherAdapted, teacher: Network | Ensemble, batches: Iterable[Batch], *, taps: frozenset[str]
) -> list[float]:
    """Train `loss.adapt_modules` for its number of steps, then freeze them; returns the loss of every step.

    Raises:
        ConfigurationError: for insertions into an ensemble, which has no single path.
    """
    if isinstance(teacher, Ensemble) and loss.insertions:
        raise ConfigurationError(
            "expected one teacher for a loss that stands in its path, got an ensemble",
            remedy="name a single `--teacher`",
        )
    loss.adapt_modules.train()
    loss.adapt_modules.requires_grad_(True)
    optimiser = torch.optim.AdamW(loss.adapt_modules.parameters(), lr=LEARNING_RATE)
    values: list[float] = []
    for batch in islice(batches, loss.adapt_steps):
        value = adaptation_loss(loss, teacher, batch, taps=taps)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimiser.step()
        values.append(value.item())
    loss.adapt_modules.eval()
    loss.adapt_modules.requires_grad_(False)
    return values


def adaptation_loss(loss: TeacherAdapted, teacher: Network | Ensemble, batch: Batch, *, taps: frozenset[str]) -> Tensor:
    """What the stage minimises on one batch, with the loss's insertions in the teacher's path."""
    if isinstance(teacher, Ensemble) or not loss.insertions:
        output = teacher(batch.image, batch.extra, taps=taps)
    else:
        with inserted(teacher.module, loss.insertions):
            output = teacher(batch.image, batch.extra, taps=taps)
    return loss.adapt_loss(output.promote(), batch)


@torch.no_grad()
def look_at_adaptations(distiller: Distiller, batch: Batch) -> None:
    """One batch of every stage on the teacher, so that a loss that wants one has seen the teacher."""
    for loss in distiller.terms.modules():
        if isinstance(loss, TeacherAdapted) and loss.adapt_steps > 0 and distiller.teacher is not None:
            adaptation_loss(loss, distiller.teacher, batch, taps=loss.requires.teacher_taps)


def stored_adaptation(path: Path, loss: TeacherAdapted) -> bool:
    """Load and freeze an adaptation stored by (teacher, loss, data); whether there was one."""
    if not path.exists():
        return False
    state: dict[str, Tensor] = load_checkpoint(path)["modules"]
    loss.adapt_modules.load_state_dict(state)
    loss.adapt_modules.eval()
    loss.adapt_modules.requires_grad_(False)
    return True


def store_adaptation(path: Path, loss: TeacherAdapted, *, seconds: float) -> None:
    """Keep an adaptation for the arms that share it, with what it cost."""
    save_checkpoint(path, {"modules": loss.adapt_modules.state_dict(), "seconds": seconds})


def adapt_all(
    distiller: Distiller, batches: Callable[[int], Iterable[Batch]], *, folder: Path, key: str, progress: Progress
) -> None:
    """Adapt what needs it, or read it back where this very adaptation is stored.

    Args:
        distiller: the losses and the teacher.
        batches: number of micro-batches -> batches from the beginning of the stream.
        folder: of the run; adaptations lie in `adapted/` beside it, so that paired arms share them.
        key: a hash of teacher, loss configuration and data.
        progress: is told what is done.
    """
    teacher = distiller.teacher
    # A loss may hold another one: avatars hold the loss that they teach.
    losses = [loss for loss in distiller.terms.modules() if isinstance(loss, TeacherAdapted)]
    adapted = [loss for loss in losses if loss.adapt_steps > 0]
    for index, loss in enumerate(adapted):
        if teacher is None:
            return
        path = folder.parent / "adapted" / f"{key[:16]}-{index}.ckpt"
        if stored_adaptation(path, loss):
            progress.note(f"{type(loss).__name__}: the teacher's adaptation is read from {path}")
            continue
        start = time.perf_counter()
        adapt_teacher(loss, teacher, batches(loss.adapt_steps), taps=loss.requires.teacher_taps)
        seconds = time.perf_counter() - start
        store_adaptation(path, loss, seconds=seconds)
        progress.note(f"{type(loss).__name__}: the teacher was adapted for {loss.adapt_steps} steps in {seconds:.1f} s")
