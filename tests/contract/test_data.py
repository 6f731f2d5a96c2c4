"""What every registered data set promises, checked over all of them by themselves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from data.builders import write_camvid, write_folder
from data.layouts import (
    write_ade20k,
    write_cityscapes,
    write_kitti,
    write_nuimages,
    write_nyuv2,
    write_vkitti2,
    write_voc,
)
from foglight.data.dataset import SegmentationDataset
from foglight.data.groups import PARTS, Part
from foglight.data.registry import build_dataset, dataset_names
from foglight.data.sample import collate
from foglight.types import IGNORE_INDEX

SIZE = (32, 48)
# How to make a tiny copy of each data set: a new one adds its line here, or the first test fails.
TINY: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "ade20k": lambda folder: {"root": str(write_ade20k(folder)), "split": "held-out"},
    "camvid": lambda folder: {"root": str(write_camvid(folder)), "split": "drive:0006R0"},
    "cityscapes": lambda folder: {
        "root": str(write_cityscapes(folder)),
        "split": "held-out",
        "options": {"extra": "disparity"},
    },
    "folder": lambda folder: {"root": str(write_folder(folder))},
    "fogtown": lambda folder: {"options": {"frames": 3, "extra": "depth"}},
    "kitti": lambda folder: {"root": str(write_kitti(folder)), "split": "held-out"},
    "nuimages": lambda folder: {"root": str(write_nuimages(folder)), "split": "log"},
    "nyuv2": lambda folder: {
        "root": str(write_nyuv2(folder)),
        "split": "held-out",
        "options": {"extra": "depth+normals"},
    },
    "vkitti2": lambda folder: {"root": str(write_vkitti2(folder)), "options": {"extra": "depth"}},
    "voc": lambda folder: {"root": str(write_voc(folder)), "split": "held-out", "options": {"sbd": True}},
}
ALL_APART: tuple[tuple[Part, Part], ...] = (("train", "report"), ("tune", "report"), ("train", "tune"))
# Parts whose groups (drives, scenes, towns) must not meet. CamVid's tune clip is of a training drive, and says so.
APART: Mapping[str, tuple[tuple[Part, Part], ...]] = {
    "camvid": (("train", "report"), ("tune", "report")),
    **dict.fromkeys(("ade20k", "cityscapes", "folder", "fogtown"), ALL_APART),
    **dict.fromkeys(("kitti", "nuimages", "nyuv2", "vkitti2", "voc"), ALL_APART),
}


def test_every_data_set_is_held_to_the_contract() -> None:
    assert set(TINY) == set(APART) == set(dataset_names())


@pytest.fixture(params=dataset_names())
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, SegmentationDataset]:
    arguments = TINY[request.param](tmp_path)
    return {part: build_dataset(request.param, part=part, size=SIZE, cache="none", **arguments) for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_samples_are_what_the_info_says(parts: dict[str, SegmentationDataset], part: str) -> None:
    dataset = parts[part]
    assert len(dataset) == len(dataset.ids) == len(set(dataset.ids)) == len(dataset.groups) > 0
    for index in range(len(dataset)):
        sample = dataset[index]
        assert sample.id == dataset.ids[index]
        assert sample.image.dtype == torch.uint8
        assert sample.size == SIZE
        assert torch.equal(sample.geometry, torch.eye(2, 3))
        assert sample.label is not None
        values = sample.label[sample.label != dataset.info.ignore_index]
        assert len(values) > 0
        assert values.max() < dataset.info.num_classes
        assert (0 if sample.extra is None else len(sample.extra)) == dataset.info.extra_channels


def test_info_is_complete_and_the_same_in_every_part(parts: dict[str, SegmentationDataset]) -> None:
    infos = [dataset.info for dataset in parts.values()]
    assert all((info.name, info.class_names, info.palette) == (infos[0].name, infos[0].class_names, infos[0].palette)
               for info in infos)  # fmt: skip
    assert len(set(infos[0].class_names)) == len(set(infos[0].palette)) == infos[0].num_classes
    assert infos[0].ignore_index == IGNORE_INDEX


def test_same_frame_twice_is_the_same(parts: dict[str, SegmentationDataset]) -> None:
    first, again = parts["train"][0], parts["train"][0]
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.label, again.label)  # pyright: ignore[reportArgumentType]


def test_parts_share_no_frame(parts: dict[str, SegmentationDataset]) -> None:
    ids = [identity for dataset in parts.values() for identity in dataset.ids]
    assert len(ids) == len(set(ids))


def test_held_out_groups_stay_apart(parts: dict[str, SegmentationDataset], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["parts"]
    for one, other in APART[name]:
        assert not set(parts[one].groups) & set(parts[other].groups)


def test_frames_collate(parts: dict[str, SegmentationDataset]) -> None:
    batch = collate([parts["train"][0], parts["train"][1]])
    assert batch.image.shape == (2, 3, *SIZE)
    assert 0 <= batch.image.min() <= batch.image.max() <= 1
    assert bool(batch.valid.any())


def test_index_beyond_the_end_ends_iteration(parts: dict[str, SegmentationDataset]) -> None:
    with pytest.raises(IndexError):
        parts["train"][len(parts["train"])]
