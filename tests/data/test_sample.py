"""Frames become a batch: ranges, unlabelled frames, and what cannot be stacked."""

import pytest
import torch

from data.builders import Numbered
from foglight.data.sample import Sample, collate
from foglight.errors import DataError


def _sample(size: tuple[int, int] = (4, 6), **changes: object) -> Sample:
    image = torch.full((3, *size), 255, dtype=torch.uint8)
    return Sample("a", image, torch.zeros(size, dtype=torch.uint8), **changes)  # pyright: ignore[reportArgumentType]


def test_bytes_become_unit_interval_and_labels_become_indices() -> None:
    batch = collate([_sample(), _sample()])
    assert batch.image.max() == 1.0
    assert batch.label is not None
    assert batch.label.dtype == torch.int64
    assert torch.equal(batch.geometry[0], torch.eye(2, 3))  # pyright: ignore[reportOptionalSubscript]


def test_unlabelled_frame_says_nothing_and_is_marked() -> None:
    batch = collate([Numbered(1)[0], Numbered(1, labelled=False, offset=7)[0]])
    assert batch.labelled is not None
    assert batch.label is not None
    assert batch.labelled.tolist() == [True, False]
    assert (batch.label[1] == batch.ignore_index).all()
    assert batch.valid[0].all()
    assert not batch.valid[1].any()


def test_label_of_a_frame_marked_unlabelled_is_not_read() -> None:
    batch = collate([_sample(labelled=False)])
    assert not batch.valid.any()


def test_labelled_frame_needs_a_label() -> None:
    with pytest.raises(ValueError, match="labelled=False"):
        Sample("a", torch.zeros(3, 2, 2, dtype=torch.uint8), None)


def test_frames_of_two_sizes_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"frame0 is 8x12, a is 4x6.*data\.augment\.crop"):
        collate([Numbered(1)[0], _sample()])


def test_extra_channels_on_some_frames_only_are_refused() -> None:
    with pytest.raises(DataError, match="a has no extra channels"):
        collate([_sample(), _sample(extra=torch.ones(1, 4, 6))])
