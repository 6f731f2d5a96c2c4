"""What a discriminator, its parts and its game must keep, without any reference numbers."""

import pytest
import torch
from torch import Tensor

from foglight.losses.adversarial.skd_holistic import SKDHolistic, gradient_penalty, hinge
from foglight.losses.discriminator import Discriminator
from foglight.losses.self_attention import SelfAttention
from foglight.losses.spectral_convolution import SpectralConv2d
from foglight.types import ModelOutput
from parity.inputs import batch, info, output


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def game(form: str = "hinge", *, classes: int = 3) -> SKDHolistic:
    said = info(torch.zeros(1, classes, 2, 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SKDHolistic(said, said, form=form, width=8)


def test_the_spectral_norm_becomes_one() -> None:
    convolution, values = SpectralConv2d(3, 5, kernel_size=3), normal(1, 3, 4, 4)
    with torch.no_grad():
        convolution.weight *= 7
        for _ in range(200):
            convolution(values)
        unit = convolution.weight.flatten(1) / (convolution.left @ convolution.weight.flatten(1) @ convolution.right)
    torch.testing.assert_close(torch.linalg.matrix_norm(unit, 2), torch.tensor(1.0), rtol=1e-4, atol=0)


def test_spectral_vectors_stand_still_in_evaluation_and_survive_two_forwards() -> None:
    convolution, values = SpectralConv2d(3, 5), normal(1, 3, 8, 8)
    (convolution(values).sum() + convolution(values).sum()).backward()
    before = convolution.left.clone()
    convolution.eval()(values)
    assert torch.equal(convolution.left, before)


def test_attention_starts_as_the_identity() -> None:
    values = normal(2, 16, 3, 5)
    assert torch.equal(SelfAttention(16)(values), values)


def test_attention_over_equal_keys_is_the_mean_of_the_values() -> None:
    block, values = SelfAttention(16), normal(2, 16, 3, 5)
    with torch.no_grad():
        block.gamma.fill_(1.0)
        block.key.weight.zero_()
    expected = values + block.value(values).mean((2, 3), keepdim=True)
    torch.testing.assert_close(block(values), expected)


def test_scores_beyond_the_margin_teach_the_discriminator_nothing() -> None:
    student, teacher = torch.tensor([-1.5, 0.0], requires_grad=True), torch.tensor([2.0, 0.0], requires_grad=True)
    gradients = torch.autograd.grad(hinge(student, teacher), (student, teacher))
    torch.testing.assert_close(torch.stack(gradients), torch.tensor([[0.0, 0.5], [0.0, -0.5]]))


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 4.0)])
def test_the_penalty_is_the_distance_of_the_slope_from_one(slope: float, expected: float) -> None:
    direction = normal(3, 4, 5)
    direction *= slope / direction.norm()
    student, teacher = normal(2, 3, 4, 5, seed=1), normal(2, 3, 4, 5, seed=2)
    penalty = gradient_penalty(lambda logits: (logits * direction).sum((1, 2, 3)), student, teacher, torch.rand(2))
    torch.testing.assert_close(penalty, torch.tensor(expected), rtol=1e-5, atol=1e-10)


def test_the_penalty_looks_where_the_share_says() -> None:
    student, teacher = normal(2, 3, 4, 5, seed=1), normal(2, 3, 4, 5, seed=2)
    seen: list[Tensor] = []

    def critic(logits: Tensor) -> Tensor:
        seen.append(logits.detach())
        return logits.square().sum()

    gradient_penalty(critic, student, teacher, torch.tensor([1.0, 0.0]))
    assert torch.equal(seen[0], torch.stack([teacher[0], student[1]]))


@pytest.mark.parametrize("form", ["hinge", "wgan-gp"])
def test_each_player_moves_its_own_side(form: str) -> None:
    loss = game(form)
    logits = normal(2, 3, 9, 12).requires_grad_()
    student, teacher, given = output(logits), output(normal(2, 3, 9, 12, seed=1)), batch(2)
    loss.discriminator_loss(student, teacher, given).backward()
    assert logits.grad is None
    assert all(parameter.grad is not None for parameter in loss.discriminator.parameters())
    loss(student, teacher, given)["skd_holistic"].backward()
    assert logits.grad is not None
    assert logits.grad.any()


@pytest.mark.parametrize("form", ["hinge", "wgan-gp"])
def test_the_discriminator_learns_to_tell_the_two_apart(form: str) -> None:
    loss, given = game(form), batch(2)
    optimiser = torch.optim.Adam(loss.discriminator.parameters(), lr=2e-3)

    def outputs(seed: int) -> tuple[ModelOutput, ModelOutput]:
        smooth = normal(2, 3, 3, 4, seed=seed).repeat_interleave(4, 2).repeat_interleave(4, 3)
        return output(normal(2, 3, 12, 16, seed=seed + 1)), output(3 * smooth)

    for step in range(30):
        optimiser.zero_grad()
        loss.discriminator_loss(*outputs(10 * step), given).backward()
        optimiser.step()
    student, teacher = outputs(1000)
    # The student's term is small where it is taken for the teacher: the teacher itself must do better.
    deceit, truth = (loss(said, None, given)["skd_holistic"] for said in (student, teacher))
    assert truth < deceit - 0.1


def test_large_logits_are_judged_as_they_are_and_small_ones_enlarged() -> None:
    critic = Discriminator(3, width=8)
    assert critic(normal(2, 3, 64, 96)).shape == (2, 1, 1, 3)
    with pytest.raises(ValueError, match="at least 64 positions"):
        critic(normal(2, 3, 45, 64))
    assert torch.isfinite(game()(output(normal(2, 3, 4, 5)), None, batch(2))["skd_holistic"])


def test_classes_must_agree_and_have_a_grid() -> None:
    three, four, flat = (info(torch.zeros(shape)) for shape in ((1, 3, 2, 2), (1, 4, 2, 2), (1, 3)))
    with pytest.raises(ValueError, match="as many classes"):
        SKDHolistic(three, four)
    with pytest.raises(ValueError, match="with a grid"):
        SKDHolistic(flat, flat)
    with pytest.raises(ValueError, match="expected a teacher"):
        SKDHolistic(three, None)
