"""Frequencies and class weights, resizing and caching."""

import pytest
import torch

from data.builders import Numbered
from foglight.data.cached import CachedDataset, ResizedDataset
from foglight.data.dataset import class_frequencies, class_weights
from foglight.data.sample import Sample


class _Counting(Numbered):
    reads = 0

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        return super().__getitem__(index)


def test_frequencies_count_pixels_of_labelled_frames() -> None:
    # Frames 0..3 hold the classes 0, 1, 2, 0.
    assert class_frequencies(Numbered(4)).tolist() == [0.5, 0.25, 0.25]
    assert class_frequencies(Numbered(4, labelled=False)).tolist() == [0.0, 0.0, 0.0]


def test_weights_are_inverse_roots_with_mean_one_over_present_classes() -> None:
    weights = class_weights(torch.tensor([0.64, 0.0, 0.04, 0.32]))
    present = weights[[0, 2, 3]]
    assert weights[1] == 1
    assert present.mean().item() == pytest.approx(1)
    assert (present[1] / present[0]).item() == pytest.approx(4)
    assert class_weights(torch.zeros(3)).tolist() == [1, 1, 1]


def test_cache_reads_once_when_asked_and_tells_its_size() -> None:
    frames = _Counting(3)
    cached = CachedDataset(ResizedDataset(frames, (4, 6)))
    assert frames.reads == cached.nbytes == 0
    first = cached[1]
    assert cached[1] is first
    assert frames.reads == 1
    assert cached.nbytes == 4 * 6 * (3 + 1)
    assert cached.expected_nbytes == 3 * 4 * 6 * (3 + 1)


def test_resized_frame_is_the_stored_frame() -> None:
    sample = ResizedDataset(Numbered(2), (4, 6))[1]
    assert sample.size == (4, 6)
    assert sample.label is not None
    assert sample.label.unique().tolist() == [1]
    assert torch.equal(sample.geometry, torch.eye(2, 3))
