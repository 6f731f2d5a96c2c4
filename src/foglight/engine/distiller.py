"""Distillation inside a training loop that somebody else keeps.

A plain `nn.Module`: its call on (images, labels) returns the total loss and the named terms. Its parameters are the
student's and the losses'; the teacher is held outside the module tree, in eval mode and frozen, so that no optimiser,
no `train()`, no checkpoint and no DistributedDataParallel ever sees it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from foglight.engine.optimiser import ParameterSettings, parameter_settings
from foglight.engine.terms import LossSpec, Terms
from foglight.losses.base import AdversarialLoss
from foglight.models.adapters.own_module import as_network
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.types import IGNORE_INDEX, Batch, ModelOutput, derive_seed

AnyNetwork = Network | Ensemble


def freeze(teacher: AnyNetwork) -> AnyNetwork:
    """Put a teacher in eval mode without gradients, in place."""
    teacher.eval()
    teacher.requires_grad_(False)
    return teacher


@final
class Distiller(nn.Module):
    """The student, the losses and, outside the module tree, the teacher.

    Args:
        student: any module that returns logits, a dict with them, or an object that has them.
        teacher: the same, or None for losses that need none.
        losses: what to minimise, see `foglight.loss` and `foglight.method`.
        total_steps: the length of the run, for weights that change over it.
        seed: of everything that the losses and the dropout passes draw.
        ignore_index: the label that says nothing.
        dry_run_size: height and width of the images with which the networks are measured.

    Raises:
        ValueError: where a loss needs a teacher and there is none.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        losses: Sequence[LossSpec] = (),
        *,
        total_steps: int | None = None,
        seed: int = 0,
        ignore_index: int = IGNORE_INDEX,
        dry_run_size: tuple[int, int] = (128, 128),
    ) -> None:
        super().__init__()
        self.student = student if isinstance(student, Network) else as_network(student)
        # A tuple hides the teacher from nn.Module's registration; `_apply` below moves it along.
        self._teacher: tuple[AnyNetwork, ...] = ()
        if teacher is not None:
            wrapped = teacher if isinstance(teacher, Network | Ensemble) else as_network(teacher)
            self._teacher = (freeze(wrapped),)
        student_info = self.student.info(dry_run_size)
        teacher_info = None if self.teacher is None else self.teacher.info(dry_run_size)
        self.terms = Terms(student_info, teacher_info, losses)
        if self.terms.requires.teacher and self.teacher is None:
            raise ValueError("expected a teacher, got None; one of the losses reads it")
        self.total_steps = total_steps
        self.seed = seed
        self.ignore_index = ignore_index
        self.step = 0

    @property
    def teacher(self) -> AnyNetwork | None:
        """The frozen teacher."""
        return self._teacher[0] if self._teacher else None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distiller":
        super()._apply(fn, recurse)
        if self.teacher is not None:
            self.teacher._apply(fn, recurse)
        return self

    def forward(
        self, images: Tensor, labels: Tensor | None = None, *, extra: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total loss and its named terms for images in [0, 1] and labels of class indices.

        Each call counts as one step; `step` may be set by loops that accumulate gradients.
        """
        progress = 0.0 if self.total_steps is None else min(self.step / self.total_steps, 1.0)
        labelled = None if labels is None else torch.ones(len(images), dtype=torch.bool, device=images.device)
        batch = Batch(
            image=images,
            extra=extra,
            label=labels,
            labelled=labelled,
            ignore_index=self.ignore_index,
            step=self.step,
            progress=progress,
            seed=self.seed,
        )
        student, teacher = self.outputs(batch)
        if self.training:
            self.step += 1
        return self.terms(student, teacher, batch)

    def outputs(self, batch: Batch) -> tuple[ModelOutput, ModelOutput | None]:
        """What the student says and, only where a loss reads it, what the teacher says."""
        requires = self.terms.requires
        size = (batch.image.shape[-2], batch.image.shape[-1])
        student = self.student(
            batch.image,
            batch.extra,
            taps=requires.student_taps,
            sigma=requires.student_sigma,
            label_size=size,
            seed=derive_seed(batch.seed, batch.step, batch.rank, "student dropout passes"),
            auxiliary=self.training,
        )
        if self.teacher is None or not requires.teacher:
            return student, None
        with torch.no_grad():
            teacher = self.teacher(
                batch.image,
                batch.extra,
                taps=requires.teacher_taps,
                sigma=requires.teacher_sigma,
                label_size=size,
                seed=derive_seed(batch.seed, batch.step, batch.rank, "teacher dropout passes"),
            )
        return student, teacher.detach()

    def adversaries(self) -> list[AdversarialLoss]:
        """The losses that have a discriminator."""
        return [loss for loss in self.terms.modules() if isinstance(loss, AdversarialLoss)]

    def optimiser_groups(self, *, head_multiple: float = 1.0) -> Iterable[ParameterSettings]:
        """Every trainable parameter exactly once, discriminators and adapted teacher modules left out."""
        return parameter_settings(self.student, self.terms.built, head_multiple=head_multiple)
