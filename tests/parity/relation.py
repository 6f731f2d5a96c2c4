"""Cases of one feature of each network, compared in value and in the gradient of the student's."""

from collections.abc import Callable

import torch

from foglight.losses.base import DistillationLoss
from foglight.types import ModelInfo
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome


def compare(case: Case, build: Callable[[ModelInfo, ModelInfo], DistillationLoss], term: str) -> Outcome:
    """The features stand at the tap `head`; logits are zeros of as many classes as meta says."""
    student, teacher = case.leaf("student_feat"), case["teacher_feat"]
    logits = torch.zeros(len(student), case.meta.get("num_classes", 2), *student.shape[2:], dtype=torch.float64)
    label = case.arrays.get("labels")
    given = batch(len(student), label=label, ignore_index=case.meta.get("ignore_index", 255))
    loss = build(info(logits, {"head": student}), info(logits, {"head": teacher}))
    value = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), given)[term]
    value.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], value)
    outcome.gradient("student_feat", case["grad_student_feat"], student.grad)
    return outcome
