"""The endless stream: purity, passes, the unlabelled mix, and crops that fit nowhere."""

from fractions import Fraction

import pytest
import torch

from data.builders import Numbered
from foglight.data.stream import TrainingStream, pass_order, unlabelled_before
from foglight.data.transforms import Augment
from foglight.errors import DataError

AUGMENT = Augment(crop=(6, 6), scale=(0.8, 1.2))


def _ids(stream: TrainingStream, positions: range) -> list[str]:
    return [stream[position].id for position in positions]


def test_position_decides_whatever_was_asked_before() -> None:
    first, second = (TrainingStream(Numbered(5), AUGMENT, seed=3) for _ in range(2))
    forward = [first[p] for p in range(12)]
    backward = [second[p] for p in reversed(range(12))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a.id == b.id
        assert torch.equal(a.geometry, b.geometry)
        assert torch.equal(a.image, b.image)


def test_each_pass_sees_every_frame_once_in_another_order() -> None:
    stream = TrainingStream(Numbered(20), AUGMENT, seed=0)
    passes = [_ids(stream, range(start, start + 20)) for start in (0, 20, 40)]
    assert all(sorted(ids) == sorted(passes[0]) for ids in passes)
    assert len(set(map(tuple, passes))) == 3
    assert _ids(TrainingStream(Numbered(20), AUGMENT, seed=1), range(20)) != passes[0]


def test_same_frame_is_augmented_anew_in_each_pass() -> None:
    stream = TrainingStream(Numbered(1), AUGMENT, seed=0)
    assert len({tuple(stream[p].geometry.flatten().tolist()) for p in range(8)}) == 8


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 20), (0.25, 10), (0.0, 0), (1.0, 40), (0.3, 12)])
def test_unlabelled_frames_take_their_share_of_every_stretch(fraction: float, expected: int) -> None:
    other = Numbered(3, labelled=False, offset=100)
    stream = TrainingStream(Numbered(5), AUGMENT, seed=0, unlabelled=other, unlabelled_fraction=fraction)
    drawn = [stream[position] for position in range(40)]
    assert sum(not sample.labelled for sample in drawn) == expected
    assert all(sample.labelled == (int(sample.id.removeprefix("frame")) < 100) for sample in drawn)
    labelled = [sample.id for sample in drawn if sample.labelled]
    assert labelled == _ids(TrainingStream(Numbered(5), AUGMENT, seed=0), range(len(labelled)))


def test_unlabelled_share_is_exact_far_out() -> None:
    assert unlabelled_before(10**12, Fraction(1, 3)) == 10**12 // 3


def test_orders_of_the_two_kinds_are_independent() -> None:
    assert pass_order(0, "labelled", 0, 30) != pass_order(0, "unlabelled", 0, 30)


def test_crop_larger_than_every_frame_is_refused_and_one_fit_is_enough() -> None:
    with pytest.raises(DataError, match=r"crop \(17, 6\) is larger than any frame even at scale 2 .*\(8, 12\)"):
        TrainingStream(Numbered(2), Augment(crop=(17, 6)), seed=0)
    assert TrainingStream(Numbered(2), Augment(crop=(16, 24)), seed=0)[0].size == (16, 24)
    assert TrainingStream(Numbered(2), Augment(crop=(17, 6), resize=(10, 12)), seed=0)[0].size == (17, 6)


def test_no_frames_are_refused() -> None:
    with pytest.raises(DataError, match="no frames to train on"):
        TrainingStream(Numbered(0), AUGMENT, seed=0)
