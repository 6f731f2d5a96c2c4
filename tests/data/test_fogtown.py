"""fogtown: the same frame everywhere, honest fog, towns apart, and the two levels of classes."""

import numpy as np
import pytest
import torch

from foglight.data.dataset import class_frequencies
from foglight.data.synthetic import fine_to_coarse, fogtown
from foglight.data.town.canvas import FARTHEST, Camera, Canvas
from foglight.data.town.classes import FINE_NAMES, fine_palette
from foglight.data.town.render import render
from foglight.data.town.weather import add_fog

SIZE = (48, 96)


def test_frame_is_a_pure_function_of_seed_town_and_index() -> None:
    first = render(3, 5, 7, size=SIZE)
    render(3, 5, 8, size=SIZE)
    again = render(3, 5, 7, size=SIZE)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    for other in (render(4, 5, 7, size=SIZE), render(3, 6, 7, size=SIZE), render(3, 5, 8, size=SIZE)):
        assert not np.array_equal(first.label, other.label)


def test_fog_changes_the_picture_only() -> None:
    clear, foggy = render(0, 1, 2, size=SIZE, fog=0.0), render(0, 1, 2, size=SIZE, fog=2.0)
    assert np.array_equal(clear.label, foggy.label)
    assert np.array_equal(clear.depth, foggy.depth)
    assert clear.beta == 0 < foggy.beta


def test_fog_takes_contrast_from_far_regions() -> None:
    near, far = [], []
    for index in range(6):
        clear, foggy = render(0, index, 0, size=SIZE, fog=0.0), render(0, index, 0, size=SIZE, fog=4.0)
        for region, found in ((foggy.depth < 8, near), ((foggy.depth > 40) & (foggy.depth < FARTHEST), far)):
            found.append(foggy.image[region].std() / clear.image[region].std())
    assert np.mean(far) < 0.6 * np.mean(near)


def test_transmission_is_exponential_in_depth() -> None:
    image = np.random.default_rng(0).random((2, 3, 3), dtype=np.float32)
    depth = np.array([[1, 10, 100], [5, 50, 200]], np.float32)
    air = np.array([0.7, 0.8, 0.9], np.float32)
    got = add_fog(image, depth, 0.02, air)
    for (row, column), metres in np.ndenumerate(depth):
        t = np.exp(-0.02 * metres)
        np.testing.assert_allclose(got[row, column], image[row, column] * t + air * (1 - t), rtol=1e-5)


def test_towns_of_the_parts_are_disjoint_and_taken_in_turn() -> None:
    parts = [fogtown(part=part, size=SIZE, frames=30, towns=10) for part in ("train", "tune", "report")]
    groups = [set(frames.groups) for frames in parts]
    assert [len(group) for group in groups] == [10, 10, 10]
    assert len(set.union(*groups)) == 30
    assert parts[0].groups.count("town0000") == 3


def test_48_classes_refine_12() -> None:
    coarse = fogtown(part="tune", size=SIZE, frames=4)
    fine = fogtown(part="tune", size=SIZE, frames=4, classes=48)
    table = torch.tensor(fine_to_coarse(), dtype=torch.uint8)
    assert fine.info.num_classes == len(table) == len(set(FINE_NAMES)) == len(set(fine_palette())) == 48
    for index in range(4):
        a, b = coarse[index], fine[index]
        assert a.label is not None
        assert b.label is not None
        assert torch.equal(table[b.label.long()], a.label)
        assert torch.equal(a.image, b.image)


def test_every_class_occurs_and_none_fills_the_picture() -> None:
    shares = class_frequencies(fogtown(part="train", size=(64, 128), frames=24))
    assert shares.min() > 0.0005
    assert shares.max() < 0.5


def test_depth_is_metric_and_ground_truth() -> None:
    sample = fogtown(part="train", size=SIZE, frames=1, extra="depth")[0]
    assert sample.extra is not None
    assert sample.label is not None
    assert (sample.extra[0][sample.label == 8] == FARTHEST).all()
    assert 0.5 < sample.extra.min() < 10


def test_nearer_surface_hides_the_further_one_and_walls_recede() -> None:
    canvas = Canvas((40, 80), Camera(40.0, 1.5, (40.0, 20.0)))
    canvas.board(0.0, 5.0, 2.0, 1.5, lambda s, t: (s <= 1, np.ones(3, np.float32), 1))
    canvas.board(0.0, 9.0, 9.0, 1.5, lambda s, t: (s <= 1, np.zeros(3, np.float32), 2))
    assert canvas.label[25, 40] == 1
    assert canvas.depth[25, 40] == 5
    # A wall 4 m to the right stands 40 * 4 / (column + 0.5 - 40) metres ahead.
    canvas.wall(4.0, 2.0, 50.0, 3.0, lambda along, up: (up >= 0, np.ones(3, np.float32), 3))
    assert canvas.depth[20, 70] == pytest.approx(160 / 30.5)


def test_wrong_options_are_refused() -> None:
    for options in ({"classes": 13}, {"frames": 0}, {"towns": 2000}, {"fog": -1.0}):
        with pytest.raises((ValueError, TypeError)):
            fogtown(part="train", **options)  # pyright: ignore[reportArgumentType]
