"""Does the total weigh each term as the recipe says, and name what goes wrong?"""

import pytest
import torch
from torch import Tensor, nn

from foglight.config.schema import Schedule
from foglight.engine.terms import LossSpec, Terms, weight_at
from foglight.errors import NotFiniteError
from foglight.losses.base import Card, DistillationLoss
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

INFO = ModelInfo(num_classes=2, stride=1)
OUTPUT = ModelOutput(torch.ones(1, 2, 2, 2, requires_grad=True))


class Constant(DistillationLoss):
    card = Card("a constant", "L = c", "none")

    def __init__(self, value: float) -> None:
        super().__init__()
        self.requires = Requires()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        return {"constant": self.value + 0 * student.logits.sum()}


def spec(value: float, weight: object = 1.0) -> LossSpec:
    return LossSpec(f"loss{value}", lambda student, teacher: Constant(value), weight)  # type: ignore[arg-type]


def batch(progress: float = 0.0) -> Batch:
    return Batch(torch.zeros(1, 3, 2, 2), ids=("a.png",), step=7, progress=progress)


def test_total_is_the_weighted_sum_and_terms_stay_unweighted() -> None:
    terms = Terms(INFO, None, [spec(2.0, 3.0), spec(5.0, {"constant": 0.5})])
    total, named = terms(OUTPUT, None, batch())
    assert total.item() == 2.0 * 3.0 + 5.0 * 0.5
    assert {name: value.item() for name, value in named.items()} == {"constant": 2.0, "loss5.0.constant": 5.0}


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        (Schedule(value=2.0), 0.9, 2.0),
        (Schedule(kind="warm-up", value=2.0, end=0.5), 0.75, 2.0),
        (Schedule(kind="decay", value=2.0, end=0.5), 0.25, 1.0),
        (Schedule(kind="decay", value=2.0, end=0.5), 0.75, 0.0),
        (Schedule(kind="until", value=2.0, end=0.5), 0.49, 2.0),
    ],
)
def test_schedules(schedule: Schedule, progress: float, expected: float) -> None:
    assert weight_at(schedule, progress) == expected


def test_a_term_that_is_nan_is_named_with_files_and_step() -> None:
    terms = Terms(INFO, None, [spec(1.0), spec(float("nan"))])
    with pytest.raises(NotFiniteError, match=r"step 7: lossnan\.constant is nan, in the batch of a\.png"):
        terms(OUTPUT, None, batch())


def test_a_loss_of_weight_zero_is_never_built_and_a_silenced_one_never_computed() -> None:
    def refuse(student: ModelInfo, teacher: ModelInfo | None) -> DistillationLoss:
        raise AssertionError("built")

    until = Schedule(kind="until", value=1.0, end=0.5)
    terms = Terms(INFO, None, [spec(2.0), spec(3.0, until), LossSpec("silent", refuse, 0.0)])
    assert terms.left_out == ("silent",)
    assert terms(OUTPUT, None, batch(0.4))[0].item() == 5.0
    assert set(terms(OUTPUT, None, batch(0.6))[1]) == {"constant"}
    with pytest.raises(ValueError, match="weight above 0"):
        Terms(INFO, None, [LossSpec("silent", refuse, 0.0)])
