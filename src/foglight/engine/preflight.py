"""Refusals before the first step: a run that would silently distil nothing does not start.

Each has a name that `--allow NAME` lifts. Nothing here changes a network, a loss or the random stream.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from foglight.engine.distiller import Distiller
from foglight.engine.teacher_stage import adaptation_loss
from foglight.errors import RefusedError
from foglight.losses.base import TeacherAdapted
from foglight.types import Batch, derive_seed


@final
@dataclass(frozen=True)
class TermCheck:
    """One term on the first batch.

    Attributes:
        name: of the term.
        value: before its weight.
        gradient_norm: of the term with respect to the student's parameters.
        share: of the sum of all terms' gradient norms.
    """

    name: str
    value: float
    gradient_norm: float
    share: float


def check_dropout(distiller: Distiller, allow: tuple[str, ...]) -> None:
    """FOTF's MC dropout needs an active dropout.

    Raises:
        RefusedError: `no-dropout`.
    """
    if "no-dropout" in allow or not distiller.terms.requires.student_sigma:
        return
    if not distiller.student.info().dropouts:
        raise RefusedError(
            "no-dropout",
            f"the student {distiller.student.name} has no active dropout, so its MC-dropout sigma is zero everywhere",
            remedy="choose a student with a dropout or a rate above 0, or the weight source `entropy`",
        )


def check_batch(distiller: Distiller, batch_size: int, num_classes: int, allow: tuple[str, ...]) -> None:
    """Relations need something to relate: enough images in a batch, enough classes in the data.

    Args:
        distiller: whose losses are asked.
        batch_size: images in one process's batch.
        num_classes: k of the data.
        allow: refusals that are lifted.

    Raises:
        RefusedError: `few-images` or `few-classes`.
    """
    for spec, loss in zip(distiller.terms.specs, distiller.terms.built, strict=True):
        needed = loss.requires
        if batch_size < needed.images and "few-images" not in allow:
            raise RefusedError(
                "few-images",
                f"{spec.name} compares the images of a batch and needs {needed.images} of them, data.batch_size is "
                f"{batch_size}",
                remedy=f"set `data.batch_size={needed.images}` or more",
            )
        if num_classes < needed.classes and "few-classes" not in allow:
            raise RefusedError(
                "few-classes",
                f"{spec.name} compares the classes of a pixel and needs {needed.classes} of them, the data has "
                f"{num_classes}",
                remedy="choose a method that needs no more, such as kd or cwd",
            )


def check_teacher(
    teacher_miou: float | None, untrained_miou: float | None, num_classes: int, allow: tuple[str, ...]
) -> None:
    """A teacher must beat chance and the untrained student on the slice where all three were scored.

    Raises:
        RefusedError: `weak-teacher`.
    """
    if "weak-teacher" in allow or teacher_miou is None:
        return
    # Uniform guesses among k equally frequent classes: (1/k^2) / (2/k - 1/k^2).
    chance = 1.0 / (2 * num_classes - 1)
    floor = max(chance, untrained_miou or 0.0)
    if teacher_miou <= floor:
        raise RefusedError(
            "weak-teacher",
            f"the teacher's mIoU is {100 * teacher_miou:.1f}, no better than chance or the untrained student "
            f"({100 * floor:.1f})",
            remedy="check its weights, its normalisation and its class order",
        )


def check_terms(distiller: Distiller, batch: Batch, allow: tuple[str, ...]) -> list[TermCheck]:
    """Every loss has a finite, non-zero gradient on the student; returns each term's value and share.

    Raises:
        RefusedError: `no-gradient`.
    """
    state = {name: values.clone() for name, values in distiller.state_dict().items()}
    random_state = torch.get_rng_state()
    was_training = distiller.training
    try:
        torch.manual_seed(derive_seed(batch.seed, "preflight"))
        distiller.train()
        _look_at_adaptations(distiller, batch)
        student, teacher = distiller.outputs(replace(batch, step=0))
        _, terms = distiller.terms(student, teacher, batch)
        norms = {name: _gradient_norm(value, distiller) for name, value in terms.items()}
    finally:
        distiller.load_state_dict(state)
        distiller.train(was_training)
        torch.set_rng_state(random_state)
    total = sum(norms.values()) or 1.0
    checks = [TermCheck(name, terms[name].item(), norms[name], norms[name] / total) for name in terms]
    _refuse_without_gradient(distiller, checks, allow)
    return checks


@torch.no_grad()
def _look_at_adaptations(distiller: Distiller, batch: Batch) -> None:
    """One batch of every stage on the teacher, so that a loss that wants one has seen the teacher."""
    for loss in distiller.terms.modules():
        if isinstance(loss, TeacherAdapted) and loss.adapt_steps > 0 and distiller.teacher is not None:
            adaptation_loss(loss, distiller.teacher, batch, taps=loss.requires.teacher_taps)


def _gradient_norm(term: Tensor, distiller: Distiller) -> float:
    parameters = [parameter for parameter in distiller.student.parameters() if parameter.requires_grad]
    if not term.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    squared = sum(float(gradient.double().square().sum()) for gradient in gradients)
    return squared**0.5


def _refuse_without_gradient(distiller: Distiller, checks: list[TermCheck], allow: tuple[str, ...]) -> None:
    if "no-gradient" in allow:
        return
    exempt = {term for loss in distiller.terms.built for term in loss.card.trains_only_itself}
    dead = [check for check in checks if check.name not in exempt and not 0.0 < check.gradient_norm < float("inf")]
    if dead:
        raise RefusedError(
            "no-gradient",
            "; ".join(
                f"the term {check.name} has gradient norm {check.gradient_norm:g} on the student" for check in dead
            ),
            remedy="check that the batch has labels, that teacher and student differ, and the term's options",
        )


def as_dict(checks: list[TermCheck]) -> list[Mapping[str, Any]]:
    """JSON-ready rows."""
    return [copy.copy(vars(check)) for check in checks]
