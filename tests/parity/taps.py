"""Stored features as the one tap `head` of a student and a teacher, and stored weights as parameters."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from foglight.types import ModelInfo, ModelOutput
from parity.inputs import info, output
from parity.protocol import Case, Outcome

TAP = "head"


def pair_of(student: Tensor, teacher: Tensor) -> tuple[tuple[ModelInfo, ModelInfo], tuple[ModelOutput, ModelOutput]]:
    """Infos and outputs of two networks that say nothing but these features."""
    logits = torch.zeros(len(student), 2, dtype=torch.float64)
    features: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] = ({TAP: student}, {TAP: teacher})
    infos = info(logits, features[0]), info(logits, features[1])
    return infos, (output(logits, features[0]), output(logits, features[1]))


def student_key(case: Case) -> str:
    return next(key for key in ("student", "student_feat", "factor_student") if key in case)


def copy_weights(case: Case, parameters: Mapping[str, nn.Parameter]) -> None:
    """Stored arrays into parameters, by the array's name."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(case[name])


def compare_weights(outcome: Outcome, case: Case, parameters: Mapping[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        outcome.gradient(name, case[f"grad_{name}"], parameter.grad)


def numbered(prefix: str, modules: Iterable[nn.Module], indices: Iterable[int]) -> dict[str, nn.Parameter]:
    """Weight and bias of modules that the published network holds at these indices of a Sequential."""
    named: dict[str, nn.Parameter] = {}
    for module, index in zip(modules, indices, strict=True):
        named |= {f"{prefix}__{index}__{name}": value for name, value in module.named_parameters()}
    return named
