"""Refusals before the first step: a run that would silently distil nothing does not start.

Each has a name that `--allow NAME` lifts. Nothing here changes a network, a loss or the random stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor

from foglight.config.schema import Schedule
from foglight.engine.distiller import Distiller
from foglight.engine.teacher_stage import look_at_adaptations
from foglight.engine.terms import Terms, Weight, not_finite
from foglight.engine.untouched import untouched
from foglight.errors import RefusedError
from foglight.types import Batch, ModelOutput, derive_seed

# Just after the start no schedule silences a loss: warm-ups have begun, `until` and `decay` are not over.
AT_THE_START: Final = 1e-6


@final
@dataclass(frozen=True)
class TermCheck:
    """One term on the first batch.

    Attributes:
        name: of the term.
        value: before its weight.
        gradient_norm: of the term with respect to the student's parameters, before its weight.
        share: of the sum of all terms' gradient norms, before their weights.
        loss: which it belongs to.
        weight: in front of it; of a schedule its largest.
        weighted_share: of the sum of weight * gradient norm: what the term has to say in a step.
    """

    name: str
    value: float
    gradient_norm: float
    share: float
    loss: str
    weight: float
    weighted_share: float


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


def check_class_order(
    teacher_names: Sequence[str], class_names: Sequence[str], teacher: str, allow: tuple[str, ...]
) -> None:
    """A teacher that knows the same classes must have them in the same order.

    Raises:
        RefusedError: `class-order`.
    """
    if "class-order" in allow or sorted(teacher_names) != sorted(class_names):
        return
    for index, (theirs, ours) in enumerate(zip(teacher_names, class_names, strict=True)):
        if theirs != ours:
            raise RefusedError(
                "class-order",
                f"{teacher}: its class {index} is {theirs!r}, that of the data is {ours!r}: same classes, other order",
                remedy="list the classes of the data in the teacher's order",
            )


def check_terms(distiller: Distiller, batch: Batch, allow: tuple[str, ...]) -> list[TermCheck]:
    """Every loss has a finite, non-zero gradient on the student; returns each term's value and share.

    Raises:
        RefusedError: `no-gradient`.
        NotFiniteError: for a term that is NaN or infinite.
    """
    with untouched(distiller):
        torch.manual_seed(derive_seed(batch.seed, "preflight"))
        distiller.train()
        look_at_adaptations(distiller, batch)
        batch = replace(batch, step=0, progress=AT_THE_START)
        student, teacher = distiller.outputs(batch)
        terms = _each_term(distiller.terms, student, teacher, batch)
        norms = {name: _gradient_norm(value, distiller) for name, (_, _, value) in terms.items()}
    total = sum(norms.values()) or 1.0
    weighted = {name: abs(weight) * norms[name] for name, (_, weight, _) in terms.items()}
    weighted_total = sum(weighted.values()) or 1.0
    checks = [
        TermCheck(name, value.item(), norms[name], norms[name] / total, loss, weight, weighted[name] / weighted_total)
        for name, (loss, weight, value) in terms.items()
    ]
    _refuse_without_gradient(distiller, checks, allow)
    return checks


def _each_term(
    terms: Terms, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
) -> dict[str, tuple[str, float, Tensor]]:
    """Loss, weight and value of every term, named as in the log."""
    named: dict[str, tuple[str, float, Tensor]] = {}
    for spec, loss in zip(terms.specs, terms.built, strict=True):
        for term, value in loss(student, teacher, batch).items():
            name = term if term not in named else f"{spec.name}.{term}"
            named[name] = (spec.name, _largest(spec.of(term)), value)
    values = {name: value for name, (_, _, value) in named.items()}
    if not all(torch.isfinite(value.detach()) for value in values.values()):
        raise not_finite(values, batch)
    return named


def _largest(weight: Weight) -> float:
    return weight.value if isinstance(weight, Schedule) else float(weight)


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
    dead = [
        check
        for check in checks
        if check.name.removeprefix(f"{check.loss}.") not in exempt and not 0.0 < check.gradient_norm < float("inf")
    ]
    if dead:
        raise RefusedError(
            "no-gradient",
            "; ".join(
                f"the term {check.name} has gradient norm {check.gradient_norm:g} on the student" for check in dead
            ),
            remedy="check that the batch has labels, that teacher and student differ, and the term's options",
        )
