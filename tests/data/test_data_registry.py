"""Data sets by name: spelling, options, roots, sizes and caches."""

from pathlib import Path

import pytest

from data.builders import write_camvid, write_folder, write_image
from foglight.data.cached import CachedDataset
from foglight.data.registry import build_dataset, build_unlabelled, dataset_names, option_names
from foglight.errors import ConfigurationError, DataError


def test_names() -> None:
    assert dataset_names() == (
        *("ade20k", "camvid", "cityscapes", "fogtown", "folder"),
        *("kitti", "nuimages", "nyuv2", "vkitti2", "voc"),
    )
    assert {"frames", "classes", "extra", "fog"} <= set(option_names("fogtown"))


def test_unknown_names_and_options_get_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'fogtown'"):
        build_dataset("fogtwon", part="train")
    with pytest.raises(ConfigurationError, match=r"no option 'frame'.*did you mean 'frames'"):
        build_dataset("fogtown", part="train", options={"frame": 3})
    with pytest.raises(ConfigurationError, match=r"data\.options of fogtown: "):
        build_dataset("fogtown", part="train", options={"fog": -1.0})
    with pytest.raises(ConfigurationError, match="no choice of splits"):
        build_dataset("fogtown", part="train", split="official")


def test_root_is_asked_for_where_it_is_needed() -> None:
    with pytest.raises(DataError, match=r"camvid needs a folder.*data\.root"):
        build_dataset("camvid", part="train")


def test_folder_by_path_or_by_root(tmp_path: Path) -> None:
    write_folder(tmp_path)
    by_path = build_dataset(str(tmp_path), part="train")
    by_root = build_dataset("folder", part="train", root=str(tmp_path), cache="none")
    assert by_path.ids == by_root.ids
    assert isinstance(by_path, CachedDataset)
    assert not isinstance(by_root, CachedDataset)


def test_size_renders_fogtown_and_resizes_files(tmp_path: Path) -> None:
    assert build_dataset("fogtown", part="tune", size=(32, 48), options={"frames": 1})[0].size == (32, 48)
    frames = build_dataset("camvid", part="train", root=str(write_camvid(tmp_path)), size=(6, 8))
    assert frames[0].size == (6, 8)


def test_unlabelled_is_resized_and_cached(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    frames = build_unlabelled(str(tmp_path), size=(6, 8))
    assert frames[0].size == (6, 8)
    assert frames[0] is frames[0]
