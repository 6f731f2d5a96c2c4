"""Do extra channels stay true: moved with the frame, changed only where geometry says so, read with their unit?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data.builders import write_folder
from foglight.data.dataset import DataInfo
from foglight.data.registry import build_dataset
from foglight.data.sample import Sample, collate
from foglight.data.synthetic import fogtown
from foglight.data.town.geometry import BASELINE
from foglight.data.town.render import render
from foglight.data.transforms import Augment, flip_sample, pad_sample, resize_sample
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.errors import ConfigurationError, DataError, UserError
from foglight.models.network import UNNORMALISED, Network
from foglight.models.segmentation_module import SegmentationModule
from foglight.types import NORMALS, ChannelKind

KINDS: tuple[ChannelKind, ...] = ("depth", "inverse_depth", "disparity", *NORMALS, "other")
SIZE = (12, 16)


def sample() -> Sample:
    """One value per channel, 1 to 7, with a hole in the middle of all of them."""
    extra = torch.arange(1.0, 8.0).view(7, 1, 1).expand(7, *SIZE).clone()
    extra[:, 4:8, 6:10] = 0
    image, label = torch.zeros(3, *SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    return Sample("a", image, label, extra=extra, extra_kinds=KINDS)


def extra_of(moved: Sample) -> Tensor:
    assert moved.extra is not None
    return moved.extra


@pytest.mark.parametrize("size", [(24, 32), (6, 8), (12, 40)])
def test_a_resize_changes_disparity_alone_and_invents_nothing_at_holes(size: tuple[int, int]) -> None:
    moved = resize_sample(sample(), size)
    stretch = size[1] / SIZE[1]
    expected = [1, 2, 3 * stretch, 4, 5, 6, 7]
    for channel, value in zip(extra_of(moved), expected, strict=True):
        assert channel.unique().tolist() == pytest.approx([0.0, value])
    assert moved.extra_kinds == KINDS


def test_a_flip_negates_the_x_of_normals_alone() -> None:
    moved = extra_of(flip_sample(sample()))
    assert [channel.abs().max().item() * channel.sum().sign().item() for channel in moved] == [1, 2, 3, -4, 5, 6, 7]
    assert torch.equal(extra_of(flip_sample(flip_sample(sample()))), extra_of(sample()))


def test_padding_is_not_measured() -> None:
    assert not extra_of(pad_sample(sample(), (20, 16)))[:, 12:].any()


def test_depth_and_disparity_still_agree_after_augmentation() -> None:
    """Z d = f b; what a zoom by s does to f it does to d, so the product grows by s wherever there is a measurement."""
    depth = 5 + torch.rand(1, *SIZE)
    disparity = 40.0 / depth
    image, label = torch.zeros(3, *SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    stored = Sample("a", image, label, extra=torch.cat([depth, disparity]), extra_kinds=("depth", "disparity"))
    for seed in range(5):
        moved = Augment(crop=(12, 16), scale=(0.5, 2.0))(stored, seed)
        z, d = extra_of(moved)
        zoom = 1 / moved.geometry[0, 0].abs()
        assert torch.allclose((z * d)[z > 0], 40.0 * zoom, rtol=1e-4)


def test_channels_without_a_kind_only_move() -> None:
    stored = Sample("a", sample().image, sample().label, extra=sample().extra)
    assert set(extra_of(resize_sample(stored, (24, 32)))[2].unique().tolist()) == {0.0, 3.0}
    assert torch.equal(extra_of(flip_sample(stored)), extra_of(stored).flip(-1))


def test_a_batch_carries_the_kinds_and_refuses_a_mixture() -> None:
    assert collate([sample(), sample()]).extra_kinds == KINDS
    image, label = sample().image, sample().label
    depth, other = (
        Sample(name, image, label, extra=torch.ones(1, *SIZE), extra_kinds=(kind,))
        for name, kind in (("a", "depth"), ("b", "disparity"))
    )
    with pytest.raises(DataError, match=r"a has 1 \(depth\), b has 1 \(disparity\)"):
        collate([depth, other])


def test_a_kind_for_every_channel() -> None:
    with pytest.raises(ValueError, match="one kind per extra channel of 'a', got 7 for 6"):
        Sample("a", sample().image, sample().label, extra=extra_of(sample())[:6], extra_kinds=KINDS)
    with pytest.raises(ValueError, match="one kind per extra channel, got 1 for 2"):
        DataInfo("a", (), (), extra_channels=2, extra_kinds=("depth",))


class Reader(SegmentationModule):
    """Says the extra channel's own values, so that a prediction shows what the network was given."""

    extra_channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        assert extra is not None
        return torch.cat([extra * self.scale, torch.zeros_like(extra)], dim=1), ()


@pytest.mark.parametrize("kind", ["normal_x", "disparity", "depth"])
def test_mirrored_and_scaled_views_give_the_network_true_channels(kind: ChannelKind) -> None:
    mean, std = UNNORMALISED
    network = Network(Reader(), num_classes=2, mean=mean, std=std, name="reader", builder=None).eval()
    image, extra = torch.zeros(1, 3, *SIZE), torch.full((1, 1, *SIZE), 0.5)
    settings = EvaluateSettings(flip=True, scales=(1.0, 2.0))
    said = predict(network, image, extra, settings=settings, extra_kinds=(kind,)).exp()[:, 0]
    seen = {"normal_x": (0.5, -0.5, 0.5, -0.5), "disparity": (0.5, 0.5, 1.0, 1.0), "depth": (0.5,) * 4}[kind]
    assert torch.allclose(said, torch.tensor(seen).sigmoid().mean(), atol=1e-6)


def test_fogtown_tells_depth_and_what_follows_from_it() -> None:
    said = {
        name: fogtown(part="train", size=(48, 96), frames=1, extra=name)[0]
        for name in ("depth", "inverse_depth", "disparity", "normals")
    }
    depth = extra_of(said["depth"])
    focal = render(0, 0, 0, size=(48, 96)).camera.focal
    assert torch.allclose(extra_of(said["inverse_depth"]) * depth, torch.ones_like(depth))
    assert torch.allclose(extra_of(said["disparity"]) * depth, torch.full_like(depth, focal * BASELINE), rtol=1e-5)
    assert said["normals"].extra_kinds == NORMALS
    label, normals = said["normals"].label, extra_of(said["normals"])
    assert label is not None
    assert torch.allclose(normals.norm(dim=0), torch.ones(48, 96), atol=1e-5)
    # The street is flat: the classes that lie on it have the ground's normal, but at the feet of what stands there.
    road = (label == 0) & (depth[0] < 100)
    assert road.sum() > 100
    upright = normals[:, road].T @ torch.tensor([0.0, -1.0, 0.0])
    assert (upright > 1 - 1e-6).float().mean() > 0.95


def write_depth(root: Path, *, stems: list[str], millimetres: int = 2500, suffix: str = ".png") -> None:
    (root / "depth").mkdir(exist_ok=True)
    counts = np.full(SIZE, millimetres, np.uint16)
    counts[:3] = 0
    for stem in stems:
        path = root / "depth" / f"{stem}{suffix}"
        if suffix == ".npy":
            values = counts.astype(np.float32) / 1000
            values[3] = np.nan
            np.save(path, values)
        else:
            Image.fromarray(counts).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "own", size=SIZE)


def stems(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "images").iterdir())


def own(root: Path, **options: object) -> Sample:
    return build_dataset("folder", part="train", root=str(root), options={"extra": "depth", **options})[0]


def test_a_folder_of_png_depth_needs_its_scale(folder: Path) -> None:
    write_depth(folder, stems=stems(folder))
    read = own(folder, extra_scale=0.001)
    assert extra_of(read).dtype == torch.float32
    assert extra_of(read)[0, :3].eq(0).all()
    assert extra_of(read)[0, 3:].unique().item() == pytest.approx(2.5)
    assert read.extra_kinds == ("depth",)
    info = build_dataset("folder", part="tune", root=str(folder), options={"extra": "depth", "extra_scale": 1.0}).info
    assert (info.extra_channels, info.extra_kinds) == (1, ("depth",))
    with pytest.raises(DataError, match=r"\.png: a PNG holds counts.*extra_scale"):
        own(folder)


def test_arrays_hold_the_values_themselves(folder: Path) -> None:
    write_depth(folder, stems=stems(folder), suffix=".npy")
    assert extra_of(own(folder))[0, :4].eq(0).all()
    assert extra_of(own(folder))[0, 4:].unique().item() == pytest.approx(2.5)


def test_maps_that_make_depth_wrote_say_themselves_what_they_are(folder: Path) -> None:
    write_depth(folder, stems=stems(folder))
    (folder / "depth" / "depth.json").write_text(json.dumps({"kind": "inverse_depth", "unit": 0.01}))
    read = own(folder)
    assert read.extra_kinds == ("inverse_depth",)
    assert extra_of(read).max().item() == pytest.approx(25.0)


def test_what_is_wrong_with_extra_files_is_said_in_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match="no such folder of extra channels"):
        own(folder)
    every = stems(folder)
    first = build_dataset("folder", part="train", root=str(folder)).ids[0]
    write_depth(folder, stems=[stem for stem in every if stem != first], suffix=".npy")
    with pytest.raises(DataError, match=f"no extra channels of the frame {first}"):
        own(folder)
    write_depth(folder, stems=every, suffix=".npy")
    path = folder / "depth" / f"{first}.npy"
    for content, message in (
        (np.zeros(SIZE), "all 192 values are 0"),
        (np.ones((2, *SIZE)), r"expected 1 channel\(s\) \(depth\), got 2"),
        (np.ones(5), r"expected numbers of shape \(H, W\)"),
        (np.ones((4, 4)), "4x4 pixels"),
    ):
        np.save(path, content)
        with pytest.raises(UserError, match=message):
            own(folder)
    path.write_bytes(b"\x93NUMPY cut short")
    with pytest.raises(DataError, match="cannot be read as an array"):
        own(folder)
    for options, message in (({"extra_kinds": ["metres"]}, "got metres"), ({"extra_scale": 0.0}, "above 0, got 0.0")):
        with pytest.raises(ConfigurationError, match=message):
            own(folder, **options)
