"""What AvatarKD must say in the limit, without any reference numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.errors import ConfigurationError
from foglight.losses.base import TeacherAdapted
from foglight.losses.features.avatar import Avatar, Inner, avatar
from foglight.losses.logits.cwd import CWD
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

INFO = ModelInfo(5, 8, {"head": TapInfo(6, 8)})
BATCH = Batch(torch.zeros(2, 3, 8, 8), label=torch.zeros(2, 8, 8, dtype=torch.long))


def feature(seed: int) -> Tensor:
    return torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def said(values: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(2, 5, 4, 5, dtype=torch.float64), {"head": values})


def value(loss: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
    (found,) = loss(said(student), said(teacher), BATCH).values()
    return found


def normed(values: Tensor) -> Tensor:
    return F.batch_norm(values, None, None, training=True)


def test_without_dropout_it_is_the_inner_loss_on_normalised_features() -> None:
    inner = CWD(INFO, INFO, tap="head", temperature=1.0)
    expected = value(inner, normed(feature(0)), normed(feature(1)))
    torch.testing.assert_close(value(Avatar(INFO, INFO, rate=0.0).double(), feature(0), feature(1)), expected)
    plain_teacher = Avatar(INFO, INFO, rate=0.0, normalise_teacher=False).double()
    expected = value(inner, normed(feature(0)), feature(1))
    torch.testing.assert_close(value(plain_teacher, feature(0), feature(1)), expected)


def test_scale_and_shift_of_the_students_channels_do_not_matter() -> None:
    loss = Avatar(INFO, INFO).double()
    moved = feature(0) * torch.linspace(1, 50, 6).view(1, 6, 1, 1) + 7
    torch.testing.assert_close(value(loss, feature(0), feature(1)), value(loss, moved, feature(1)), rtol=1e-4, atol=0)


def test_the_same_features_without_dropout_give_zero() -> None:
    assert value(Avatar(INFO, INFO, rate=0.0).double(), feature(0), feature(0)) == 0


def test_several_avatars_are_averaged() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.rand(2, 6, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2)]
    single, pair = Avatar(INFO, INFO, rate=0.3).double(), Avatar(INFO, INFO, rate=0.3, avatars=2).double()
    values: list[Tensor] = []
    for uniform in drawn:
        single.draw = lambda given, shapes, uniform=uniform: dict.fromkeys(shapes, uniform)
        values.append(value(single, feature(0), feature(1)))
    pair.draw = lambda given, shapes: dict(zip(shapes, drawn, strict=True))
    assert values[0] != values[1]
    torch.testing.assert_close(value(pair, feature(0), feature(1)), torch.stack(values).mean())


def test_two_avatars_of_one_step_differ_and_repeat() -> None:
    loss = Avatar(INFO, INFO, avatars=2)
    first, again = (loss.draw(BATCH, {"dropout 0": (9,), "dropout 1": (9,)}) for _ in range(2))
    assert not torch.equal(first["dropout 0"], first["dropout 1"])
    assert torch.equal(first["dropout 0"], again["dropout 0"])


def test_dropout_keeps_the_mean() -> None:
    uniform = torch.rand(100_000, 1, generator=torch.Generator().manual_seed(0))
    assert avatar(torch.ones(100_000, 1), uniform, rate=0.4).mean() == pytest.approx(1, abs=0.02)


def test_each_network_has_statistics_of_its_own() -> None:
    loss = Avatar(INFO, INFO, rate=0.0).double()
    value(loss, feature(0), 100 + feature(1))
    student, teacher = loss.student_norm.norm.running_mean, loss.teacher_norm.norm.running_mean
    assert student.abs().max() < 1 < teacher.min()


@pytest.mark.parametrize("method", ["cwd", "mgd", "maskd"])
def test_the_inner_stage_on_the_teacher_is_found_where_there_is_one(method: Inner) -> None:
    stages = [module for module in Avatar(INFO, INFO, method=method).modules() if isinstance(module, TeacherAdapted)]
    assert len(stages) == (method == "maskd")


def test_a_wrong_option_of_the_inner_loss_is_named() -> None:
    with pytest.raises(ConfigurationError, match="mask_ratio"):
        Avatar(INFO, INFO, method="mgd", options={"mask_ration": 0.5})
