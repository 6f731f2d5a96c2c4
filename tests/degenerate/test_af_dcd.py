"""Af-DCD's contrast against loops over pieces in every mode, its masks, and what its optimiser is told."""

import pytest
import torch
from torch import Tensor

from foglight.functional import row_budget
from foglight.losses.contrastive._omni_contrast import Mode, omni_contrast
from foglight.losses.contrastive.af_dcd import AfDCD, pooled
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

MODES: tuple[Mode, ...] = ("spatial", "channel", "omni", "omni_code")


def loops(student: Tensor, teacher: Tensor, mode: Mode, groups: int, patch: tuple[int, int], tau: float) -> Tensor:
    """One piece after another, straight from the definition."""
    (images, channels, height, width), (rows, columns) = student.shape, patch
    groups = 1 if mode == "spatial" else groups
    wide, total, positions = channels // groups, student.new_zeros(()), 0
    for image in range(images):
        for top in range(0, height - rows + 1, rows):
            for left in range(0, width - columns + 1, columns):
                places = [(top + row, left + column) for row in range(rows) for column in range(columns)]
                positions += len(places)
                pieces = [(place, group) for place in places for group in range(groups)]

                def piece(feature: Tensor, place: tuple[int, int], group: int, image: int = image) -> Tensor:
                    return feature[image, group * wide : (group + 1) * wide, place[0], place[1]]

                for place, group in pieces:
                    told_from = {
                        "spatial": [(there, group) for there in places],
                        "channel": [(place, other) for other in range(groups)],
                        "omni": pieces,
                        "omni_code": [(place, group), *(each for each in pieces if each[1] != group)],
                    }[mode]
                    scores = {
                        each: -(piece(student, place, group) - piece(teacher, *each)).abs().sum() / tau
                        for each in told_from
                    }
                    total = total + torch.stack(list(scores.values())).logsumexp(0) - scores[place, group]
    return total / positions


def features(*shape: int) -> tuple[Tensor, Tensor]:
    student, teacher = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student.requires_grad_(), teacher


@pytest.mark.parametrize("budget", [1, 2**25], ids=["strips", "at once"])
@pytest.mark.parametrize("mode", MODES)
def test_contrast_agrees_with_loops(mode: Mode, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map of 5 x 6 in patches of 2 x 3 leaves one row over."""
    monkeypatch.setattr(row_budget, "BUDGET", budget)
    student, teacher = features(2, 6, 5, 6)
    ours = omni_contrast(student, teacher, mode=mode, groups=3, patch=(2, 3), temperature=0.7)
    truth = loops(student, teacher, mode, 3, (2, 3), 0.7)
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=0.0)
    found, expected = (torch.autograd.grad(2 * value, student)[0] for value in (ours, truth))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


def test_a_single_piece_is_told_from_nothing() -> None:
    student, teacher = features(1, 5, 1, 1)
    for mode in MODES:
        value = omni_contrast(student, teacher, mode=mode, groups=1, patch=(4, 4), temperature=0.07)
        assert value.item() == 0


@pytest.mark.parametrize(("channels", "groups"), [(32, 16), (24, 12), (7, 7), (17, 1)])
def test_channels_fall_into_as_many_groups_as_divide_them(channels: int, groups: int) -> None:
    student, teacher = features(1, channels, 2, 2)
    asked, given = (
        omni_contrast(student, teacher, mode="omni_code", groups=number, patch=(2, 2), temperature=1.0)
        for number in (16, groups)
    )
    assert torch.equal(asked, given)


def test_pooling_crops_first_and_never_stops_at_a_small_map() -> None:
    feature = torch.arange(36.0).view(1, 1, 6, 6)
    assert pooled(feature, pool=2, crop=4).flatten().tolist() == [7, 9, 19, 21]
    assert pooled(feature, pool=9, crop=None).flatten().tolist() == [35]


def built(channels: int = 4, **options: object) -> AfDCD:
    info = ModelInfo(2, 8, {"layer4": TapInfo(channels, 8)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AfDCD(info, info, **options)  # pyright: ignore[reportArgumentType]


def run(loss: AfDCD, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    logits, given = torch.zeros(len(student), 2, 1, 1), Batch(torch.zeros(len(student), 3, 8, 8))
    return loss(ModelOutput(logits, {"layer4": student}), ModelOutput(logits, {"layer4": teacher}), given)


def test_a_perfect_rebuild_has_no_reconstruction_error() -> None:
    loss = built(mask_ratio=0.0)
    student = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        rebuilt = loss.generator(student)
    assert run(loss, student, rebuilt)["fd"].item() < 1e-10


def test_hidden_positions_are_not_seen() -> None:
    """Positions inside the middle third, and no others, leave both terms as they are."""
    loss = built(mask="centre")
    student, teacher = torch.rand(1, 4, 9, 9), torch.rand(1, 4, 9, 9)
    terms = run(loss, student, teacher)
    for place, seen in (((4, 4), False), ((3, 5), False), ((4, 6), True), ((2, 4), True)):
        changed = student.clone()
        changed[0, :, place[0], place[1]] += 1
        assert torch.equal(run(loss, changed, teacher)["fd"], terms["fd"]) != seen


def test_a_random_mask_hides_its_share() -> None:
    loss = built(mask_ratio=0.75)
    keep = loss._keep(torch.zeros(8, 4, 64, 64), Batch(torch.zeros(8, 3, 8, 8)))
    assert set(keep.unique().tolist()) == {0.0, 1.0}
    assert abs(keep.mean().item() - 0.25) < 0.01


def test_its_own_parameters_are_clipped_by_themselves() -> None:
    (group,) = built(channels=4).optimiser_groups()
    assert group.clip_norm == 15.0
    assert len(group.parameters) == 4
