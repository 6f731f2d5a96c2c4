"""Joint augmentation: what moves together, what stays, and that the map back is right."""

import pytest
import torch
from torch import Tensor

from foglight.data import geometry
from foglight.data.sample import Sample
from foglight.data.transforms import PAD_COLOUR, Augment, flip_sample, resize_sample

SIZE = (40, 60)


def _ramp(size: tuple[int, int] = SIZE) -> Sample:
    """The image tells x and y of each pixel, the extra channel y in metres, the label the quadrant."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    image = torch.stack([x * 4, y * 4, torch.full_like(x, 50)]).to(torch.uint8)
    label = (2 * (y >= size[0] // 2) + (x >= size[1] // 2)).to(torch.uint8)
    return Sample("ramp", image, label, extra=y[None].float())


def _pixels_inside(sample: Sample) -> Tensor:
    """Positions (x, y) that are no padding and no border, where interpolation is one-sided."""
    assert sample.label is not None
    inside = sample.label != 255
    y, x = torch.nonzero(inside, as_tuple=True)
    return torch.stack([x, y], dim=1).float()


@pytest.mark.parametrize(
    "augment",
    [
        Augment(crop=(24, 24), scale=(1.0, 1.0)),
        Augment(crop=(24, 30), scale=(0.5, 2.0)),
        Augment(resize=(30, 90), flip=1.0),
        Augment(resize=(20, 30), crop=(24, 24), scale=(0.7, 1.4)),
        Augment(),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_geometry_leads_back_to_the_stored_pixel(augment: Augment, seed: int) -> None:
    stored, moved = _ramp(), augment(_ramp(), seed)
    points = _pixels_inside(moved)
    x, y = points.long().unbind(1)
    back = geometry.warp_points(moved.geometry, points)
    # Two pixels from the border the ramp is linear; elsewhere the resize extrapolates.
    inner = ((back > 2) & (back < torch.tensor([SIZE[1], SIZE[0]]) - 3)).all(dim=1)
    seen = moved.image[:2, y, x].float().T / 4
    assert inner.any()
    assert (seen - back)[inner].abs().max() < 0.6
    # Depth and label are those of the nearest pixel: at most half a pixel away.
    assert moved.extra is not None
    assert (moved.extra[0, y, x] - back[:, 1])[inner].abs().max() <= 0.51
    assert moved.label is not None
    assert stored.label is not None
    clear = inner & ((back - torch.tensor([SIZE[1], SIZE[0]]) / 2).abs().min(dim=1).values > 1.5)
    rounded = back.round().long()
    assert torch.equal(moved.label[y, x][clear], stored.label[rounded[:, 1], rounded[:, 0]][clear])


def test_same_seed_same_frame_and_the_global_stream_is_untouched() -> None:
    augment = Augment(crop=(24, 24), colour_jitter=0.4)
    before = torch.get_rng_state()
    first, again, other = (augment(_ramp(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)


def test_colour_jitter_leaves_everything_else() -> None:
    plain, jittered = (Augment(crop=(24, 24), colour_jitter=s)(_ramp(), 5) for s in (0.0, 0.5))
    assert not torch.equal(plain.image, jittered.image)
    assert torch.equal(plain.label, jittered.label)  # pyright: ignore[reportArgumentType]
    assert torch.equal(plain.extra, jittered.extra)  # pyright: ignore[reportArgumentType]
    assert torch.equal(plain.geometry, jittered.geometry)


def test_padding_is_grey_ignored_and_without_depth() -> None:
    sample = Augment(crop=(48, 70), scale=(1.0, 1.0), flip=0.0)(_ramp(), 0)
    assert sample.label is not None
    assert sample.extra is not None
    assert sample.image[:, 40:].unique(dim=1).flatten().unique().tolist() == sorted(PAD_COLOUR)
    assert (sample.label[40:] == 255).all()
    assert (sample.label[:, 60:] == 255).all()
    assert (sample.label[:40, :60] != 255).all()
    assert (sample.extra[:, 40:] == 0).all()


def test_no_class_and_no_depth_is_invented() -> None:
    sample = resize_sample(_ramp(), (55, 83))
    assert sample.label is not None
    assert sample.extra is not None
    assert set(sample.label.unique().tolist()) == {0, 1, 2, 3}
    assert (sample.extra == sample.extra.round()).all()
    assert sample.extra.max() == SIZE[0] - 1


def test_flip_twice_is_nothing() -> None:
    twice = flip_sample(flip_sample(_ramp()))
    assert torch.equal(twice.image, _ramp().image)
    assert torch.allclose(twice.geometry, torch.eye(2, 3))


def test_identity_settings_change_nothing() -> None:
    sample = Augment(scale=(1.0, 1.0), flip=0.0)(_ramp(), 3)
    assert torch.equal(sample.image, _ramp().image)
    assert torch.equal(sample.geometry, torch.eye(2, 3))


def test_unlabelled_frames_move_too() -> None:
    sample = Augment(crop=(24, 24), colour_jitter=0.1)(Sample("a", _ramp().image, None, labelled=False), 0)
    assert sample.label is None
    assert sample.size == (24, 24)


def test_every_offset_is_reached() -> None:
    lefts = {
        round(Augment(crop=(40, 57), scale=(1.0, 1.0), flip=0.0)(_ramp(), s).geometry[0, 2].item()) for s in range(60)
    }
    assert lefts == {0, 1, 2, 3}


def test_scale_range_is_checked() -> None:
    with pytest.raises(ValueError, match="0 < low <= high"):
        Augment(scale=(2.0, 1.0))
