"""CamVid's public layout and its splits, on generated files; on the real ones where FOGLIGHT_CAMVID names them."""

import os
from pathlib import Path

import numpy as np
import pytest

from data.builders import write_camvid, write_mask
from foglight.data.camvid import camvid
from foglight.errors import ConfigurationError, DataError


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_official_split_warns_of_its_validation_clip(tmp_path: Path, suffix: str) -> None:
    write_camvid(tmp_path, suffix=suffix)
    train, tune, report = (camvid(tmp_path, part=part) for part in ("train", "tune", "report"))
    assert (len(train), len(tune), len(report)) == (9, 3, 3)
    assert train.groups.count("0016E5") == 4
    assert "never the basis of a claim" in report.info.notes[0]
    assert train.info.num_classes == 11


def test_void_is_ignored_and_unknown_values_are_refused(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    label = camvid(tmp_path, part="train")[0].label
    assert label is not None
    assert sorted(label.unique().tolist()) == [*range(11), 255]
    write_mask(tmp_path / "trainannot" / "0001TP_00000.png", np.full((12, 16), 12))
    with pytest.raises(DataError, match=r"0001TP_00000\.png: unknown mask value 12"):
        camvid(tmp_path, part="train")[0]


def test_a_drive_is_held_out_whole(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    train, tune, report = (camvid(tmp_path, part=p, split="drive:0006R0") for p in ("train", "tune", "report"))
    assert set(report.groups) == {"0006R0"}
    assert set(train.groups) == {"0001TP", "0016E5"}
    assert len(train) + len(report) == 9
    assert len(tune) == 3
    assert "shares that drive with the train part" in tune.info.notes[0]
    assert "the report part" in camvid(tmp_path, part="tune", split="drive:0016E5").info.notes[0]


def test_list_with_paths_of_another_machine(tmp_path: Path) -> None:
    write_camvid(tmp_path, suffix=".png")
    stem = "0001TP_00001"
    (tmp_path / "train.txt").write_text(f"/SegNet/CamVid/train/{stem}.png /SegNet/CamVid/trainannot/{stem}.png\n")
    assert camvid(tmp_path, part="train").ids == (stem,)
    (tmp_path / "train.txt").write_text("0001TP_99999\n")
    with pytest.raises(DataError, match=r"1 listed frame\(s\) lack an image or a mask, such as 0001TP_99999"):
        camvid(tmp_path, part="train")


def test_without_a_list_every_pair_counts(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    (tmp_path / "train.txt").unlink()
    assert len(camvid(tmp_path, part="train")) == 9


@pytest.mark.parametrize(("split", "word"), [("offical", "did you mean 'official'"), ("drive:0001TO", "'0001TP'")])
def test_unknown_splits(tmp_path: Path, split: str, word: str) -> None:
    write_camvid(tmp_path)
    with pytest.raises(ConfigurationError, match=word):
        camvid(tmp_path, part="report", split=split)


def test_missing_test_folder_is_named(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    assert len(camvid(tmp_path, part="tune", split="test")) == 3
    with pytest.raises(DataError, match="test: no such folder"):
        camvid(tmp_path, part="report", split="test")


@pytest.mark.skipif("FOGLIGHT_CAMVID" not in os.environ, reason="set FOGLIGHT_CAMVID to a folder with CamVid")
def test_real_frames_counts_and_values() -> None:
    root = Path(os.environ["FOGLIGHT_CAMVID"])
    train = camvid(root, part="train")
    assert {name: train.groups.count(name) for name in set(train.groups)} == {
        "0016E5": 204,
        "0006R0": 101,
        "0001TP": 62,
    }
    assert len(camvid(root, part="tune")) == 101
    for index in (0, 100, 366):
        sample = train[index]
        assert sample.size == (360, 480)
        assert sample.label is not None
        assert set(sample.label.unique().tolist()) <= {*range(11), 255}
