"""What MasKD and its receptive tokens must say in the limit, without any reference numbers."""

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor

from foglight.errors import ConfigurationError
from foglight.losses.features.maskd import MasKD, region_weights
from foglight.losses.receptive_tokens import ReceptiveTokens, mask_diversity
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

INFO = ModelInfo(5, 8, {"head": TapInfo(6, 8)}, align_corners=True)
BATCH = Batch(torch.zeros(2, 3, 16, 24), label=torch.randint(5, (2, 16, 24)))


def feature(seed: int, channels: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 4, 6, generator=generator, dtype=torch.float64)


def said(values: Tensor, logits: Tensor | None = None) -> ModelOutput:
    return ModelOutput(feature(9, 5) if logits is None else logits, {"head": values})


def built(**options: object) -> MasKD:
    return MasKD(INFO, INFO, allow_random_tokens=True, **options).double()


def value(loss: MasKD, student: Tensor, teacher: Tensor) -> Tensor:
    return loss(said(student), said(teacher), BATCH)["maskd"]


@pytest.mark.parametrize("form", ["segmentation", "detection"])
def test_identical_features_give_exactly_zero(form: Literal["segmentation", "detection"]) -> None:
    student = feature(0).requires_grad_()
    total = value(built(form=form), student, feature(0))
    total.backward()
    assert total == 0
    assert not student.grad.any()


def test_tokens_of_zero_see_half_of_everything() -> None:
    loss = built()
    torch.nn.init.zeros_(loss.tokens.vectors)
    expected = (feature(0) - feature(1)).square().mean() / 4
    torch.testing.assert_close(value(loss, feature(0), feature(1)), expected, rtol=1e-6, atol=0)


def test_the_sum_over_tokens_first_is_the_textbook_form() -> None:
    loss, student = built(tokens=3), feature(0).requires_grad_()
    torch.nn.init.normal_(loss.tokens.vectors, std=0.5)
    masks = loss.tokens.masks(feature(1)).detach().unsqueeze(2)
    inside = (masks * student.unsqueeze(1) - masks * feature(1).unsqueeze(1)).square().sum((3, 4))
    naive = (inside / (masks.sum((3, 4)) + 1e-5)).mean() / 2
    lean = value(loss, student, feature(1))
    torch.testing.assert_close(lean, naive)
    torch.testing.assert_close(torch.autograd.grad(lean, student), torch.autograd.grad(naive, student))


def test_nothing_is_learned_outside_every_region() -> None:
    loss, student, teacher = built(tokens=1), feature(0).requires_grad_(), feature(1)
    torch.nn.init.zeros_(loss.tokens.vectors)
    with torch.no_grad():
        loss.tokens.vectors[0, 0] = 1e4
    teacher[:, 0] = -1.0
    teacher[:, 0, 1, 2] = 1.0
    value(loss, student, teacher).backward()
    seen = student.grad.abs().sum((0, 1)) > 0
    assert seen.nonzero().tolist() == [[1, 2]]


def test_an_empty_region_weighs_nothing_instead_of_dividing_by_zero() -> None:
    assert not region_weights(torch.zeros(1, 2, 3), torch.ones(1, 2), guard=0.0).any()


def test_a_tiny_region_weighs_as_much_as_its_masks_say() -> None:
    weights = region_weights(torch.full((1, 1, 4), 1e-30), torch.ones(1, 1), guard=0.0)
    torch.testing.assert_close(weights, torch.full((1, 1, 4), 2.5e-31), rtol=1e-5, atol=0)


def test_the_students_masks_come_in_at_their_step_and_carry_no_gradient() -> None:
    late, never = built(form="detection", student_masks_from=1), built(form="detection")
    late.load_state_dict(never.state_dict())
    assert torch.equal(value(late, feature(0), feature(1)), value(never, feature(0), feature(1)))
    late.student_masks_from = 0
    # A student that resembles no token lights nothing up, however far it is from the teacher.
    torch.nn.init.constant_(late.tokens.vectors, 10.0)
    assert value(late, -100 - feature(0).abs(), feature(1).abs()) == pytest.approx(0.0, abs=1e-30)


def test_diversity_is_one_for_equal_masks_and_none_for_a_single_one() -> None:
    mask = torch.rand(2, 1, 3, 4, dtype=torch.float64) + 0.1
    torch.testing.assert_close(mask_diversity(mask.repeat(1, 3, 1, 1)), torch.ones((), dtype=torch.float64))
    assert mask_diversity(mask) == 0


def test_never_learned_tokens_are_refused_until_the_stage_began() -> None:
    loss = MasKD(INFO, INFO, tap=None)
    given = ModelOutput(feature(0, 5).float())
    with pytest.raises(ConfigurationError, match="never learned"):
        loss(given, given, BATCH)
    loss.adapt_loss(given, BATCH).backward()
    assert loss.tokens.vectors.grad.any()
    restored = MasKD(INFO, INFO, tap=None)
    restored.load_state_dict(copy.deepcopy(loss).state_dict())
    assert restored(given, given, BATCH)["maskd"] == 0


def test_one_token_that_sees_everything_hands_the_feature_on() -> None:
    tokens = ReceptiveTokens(1, 6, weighted=True).double()
    torch.nn.init.constant_(tokens.vectors, 100.0)
    values = feature(0).abs() + 1
    torch.testing.assert_close(tokens(values), values)
