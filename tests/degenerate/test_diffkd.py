"""What diffusion and DiffKD must do in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor

from foglight.functional.normal import standard_normal
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.diffusion import denoised, noised, sampling_steps, signal_share
from foglight.losses.features.diffkd import DiffKD, logit_divergence
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

STUDENT = ModelInfo(5, 8, {"head": TapInfo(6, 8)})
TEACHER = ModelInfo(5, 8, {"head": TapInfo(12, 8)})


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def terms(loss: DiffKD, student: Tensor) -> dict[str, Tensor]:
    logits, grid = normal(len(student), 5, 4, 6), student.shape[2:]
    teacher = ModelOutput(logits, {"head": normal(len(student), 12, *grid, seed=1)})
    return loss(ModelOutput(logits, {"head": student}), teacher, Batch(torch.zeros(len(student), 3, 8, 8)))


@pytest.mark.parametrize("count", [1, 5, 500])
def test_a_denoiser_that_knows_the_noise_gives_the_clean_map_back(count: int) -> None:
    clean, noise, shares = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), signal_share().double()
    start = shares[sampling_steps(count)[0]].expand(2)
    found = denoised(noised(clean, noise, start), lambda noisy, step: noise, shares, count=count)
    torch.testing.assert_close(found, clean)


def test_noising_runs_from_the_map_to_pure_noise() -> None:
    clean, noise = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    mixed = noised(clean, noise, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert torch.equal(mixed[0], clean[0])
    assert torch.equal(mixed[1], noise[1])


def test_the_signal_only_fades() -> None:
    shares = signal_share()
    assert (shares.diff() < 0).all()
    assert 0 < shares[-1] < 1e-4 < 1 - 1e-3 < shares[0] < 1


@pytest.mark.parametrize("count", [0, 501])
def test_impossible_numbers_of_steps_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="inference steps"):
        DiffKD(STUDENT, TEACHER, inference_steps=count)


def test_uniform_numbers_become_standard_normal_ones() -> None:
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = standard_normal(uniform)
    assert drawn.mean().abs() < 1e-9
    assert drawn.square().mean() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(torch.special.ndtr(drawn), uniform)


def test_a_step_costs_n_plus_one_evaluations() -> None:
    loss, calls = DiffKD(STUDENT, TEACHER, inference_steps=3).double(), list[int]()
    loss.denoiser.register_forward_hook(lambda *_: calls.append(1))
    terms(loss, normal(2, 6, 4, 6))
    assert len(calls) == 4


@pytest.mark.parametrize("detach", [True, False])
def test_who_trains_the_denoiser(detach: bool) -> None:
    loss = DiffKD(STUDENT, TEACHER, detach_denoiser=detach, autoencoder=True).double()
    student = normal(2, 6, 4, 6).requires_grad_()
    said = terms(loss, student)
    weight = loss.denoiser.time_embedding.weight
    by_kd = torch.autograd.grad(said["kd"], [weight, student], allow_unused=True, retain_graph=True)
    assert (by_kd[0] is None) == detach
    assert by_kd[1].any()
    for own in ("noise", "reconstruction"):
        assert torch.autograd.grad(said[own], student, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(said["noise"], weight)[0].any()


def test_detaching_the_denoiser_changes_no_value() -> None:
    free, bound = (DiffKD(STUDENT, TEACHER, detach_denoiser=detach).double() for detach in (False, True))
    bound.load_state_dict(free.state_dict())
    assert torch.equal(terms(free, normal(2, 6, 4, 6))["kd"], terms(bound, normal(2, 6, 4, 6))["kd"])


def test_the_autoencoder_is_for_wide_features_only() -> None:
    wide = ModelInfo(5, 8, {"head": TapInfo(520, 8)})
    assert DiffKD(STUDENT, TEACHER).encoder is None
    loss = DiffKD(STUDENT, wide)
    assert loss.encoder is not None
    assert loss.connector.out_channels == 260


def test_equal_logits_do_not_diverge() -> None:
    assert logit_divergence(normal(2, 5, 3, 3), normal(2, 5, 3, 3)) == 0


def test_one_vector_of_one_image_is_not_too_little() -> None:
    said = terms(DiffKD(STUDENT, TEACHER).double(), normal(1, 6))
    assert all(torch.isfinite(value) for value in said.values())


def test_batch_norm_is_torchs_on_maps_and_statistics_stand_in_for_one_value() -> None:
    ours, theirs = BatchNorm(4).double(), torch.nn.BatchNorm2d(4).double()
    torch.testing.assert_close(ours(normal(2, 4, 3, 5)), theirs(normal(2, 4, 3, 5)))
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)
    before = ours.norm.running_mean.clone()
    one = normal(1, 4)
    torch.testing.assert_close(ours(one), theirs.eval()(one[..., None, None])[..., 0, 0])
    assert torch.equal(ours.norm.running_mean, before)
