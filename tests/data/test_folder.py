"""An own folder: how it is cut into parts, and every way in which it can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.builders import CLASSES_YAML, write_folder, write_image, write_mask
from foglight.data.folder import own_folder
from foglight.data.groups import PARTS, guess_groups, parts_by_group
from foglight.data.registry import build_dataset
from foglight.data.unlabelled import UnlabelledFolder
from foglight.errors import ConfigurationError, DataError


def test_groups_are_whole_and_every_part_has_some(tmp_path: Path) -> None:
    write_folder(tmp_path, groups=5)
    parts = {part: own_folder(tmp_path, part=part) for part in PARTS}
    assert sum(len(frames) for frames in parts.values()) == 10
    groups = [set(frames.groups) for frames in parts.values()]
    assert all(groups)
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert "guessed from the file names" in parts["train"].info.notes[0]
    assert "drive0 (2)" in parts["train"].info.notes[0]


def test_parts_depend_on_names_only() -> None:
    names = [f"town{i}" for i in range(40)]
    parts = parts_by_group(names)
    assert parts == parts_by_group(names[::-1] * 2)
    assert [list(parts.values()).count(part) for part in PARTS] == [28, 6, 6]


def test_guess_goes_on_while_every_frame_is_alone() -> None:
    assert set(guess_groups([f"{town}_{i:06d}_000019_leftImg8bit" for town in "ab" for i in range(3)])) == {"a", "b"}
    assert guess_groups(["x", "y"]) == ("x", "y")


def test_pattern_chooses_groups(tmp_path: Path) -> None:
    write_folder(tmp_path, groups=1, frames=6)
    frames = own_folder(tmp_path, part="train", group=r"_(\d+)$")
    assert len(frames) == len(set(frames.groups)) == 4
    with pytest.raises(DataError, match="does not occur in 'drive0_000'"):
        own_folder(tmp_path, part="train", group="town")
    with pytest.raises(DataError, match="is no regular expression"):
        own_folder(tmp_path, part="train", group="(")


def test_single_frames_only_when_asked(tmp_path: Path) -> None:
    write_folder(tmp_path, groups=1, frames=6)
    with pytest.raises(DataError, match=r"found 1 group\(s\).*'drive0' \(6\).*data.split=frame"):
        own_folder(tmp_path, part="train")
    frames = own_folder(tmp_path, part="train", split="frame")
    assert len(frames) == 4
    assert "single frames" in frames.info.notes[0]


def test_csv_split_with_groups_and_other_names_of_parts(tmp_path: Path) -> None:
    write_folder(tmp_path)
    rows = ["drive0_000.png,train,north", "drive1_000,val,south", "drive2_000,test,north"]
    (tmp_path / "split.csv").write_text("image,part,group\n" + "\n".join(rows) + "\n")
    tune = own_folder(tmp_path, part="tune", split="split.csv")
    assert tune.ids == ("drive1_000",)
    assert tune.groups == ("south",)
    assert "'north': scores may measure memory" in tune.info.notes[0]


def test_json_split_of_both_forms(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"train": ["drive0_000", "drive0_001"], "tune": ["drive1_000"]}))
    assert len(own_folder(tmp_path, part="train", split="a.json")) == 2
    (tmp_path / "b.json").write_text(json.dumps([{"image": "drive2_000", "part": "report", "group": "g"}]))
    assert own_folder(tmp_path, part="report", split="b.json").groups == ("g",)
    with pytest.raises(DataError, match="no frame belongs to the part 'report'"):
        own_folder(tmp_path, part="report", split="a.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,part\ndrive0_000,trian\n", "row 1 has the part 'trian'"),
        ("picture,part\ndrive0_000,train\n", "row 1 has no image; columns found: picture, part"),
        ("image,part\ndrive0_000,train\ndrive0_000.png,tune\n", "'drive0_000' is listed twice"),
        ("image,part\nnowhere,train\n", "1 listed frame.*'nowhere'"),
    ],
)
def test_wrong_split_is_explained(tmp_path: Path, text: str, message: str) -> None:
    write_folder(tmp_path)
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        own_folder(tmp_path, part="train", split="split.csv")


def test_missing_and_malformed_split_files(tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(DataError, match="no such split file"):
        own_folder(tmp_path, part="train", split="gone.csv")
    for text in ("{", "[1]", '{"train": 3}'):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(DataError, match="not a readable split"):
            own_folder(tmp_path, part="train", split="s.json")


def test_missing_folders_and_class_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        own_folder(tmp_path / "nowhere", part="train")
    write_image(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"classes\.yaml: no such file.*names"):
        own_folder(tmp_path, part="train")
    (tmp_path / "classes.yaml").write_text(CLASSES_YAML)
    with pytest.raises(DataError, match="masks: no such folder"):
        own_folder(tmp_path, part="train")


def test_no_overlap_of_stems_shows_one_of_each(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    with pytest.raises(DataError, match=r"drive0_000\.png, 8 masks such as drive0_000_mask\.png.*mask_suffix"):
        own_folder(tmp_path, part="train")
    assert len(own_folder(tmp_path, part="train", mask_suffix="_mask")) == 4


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_image(tmp_path / "images" / "drive0_000.bmp")
    with pytest.raises(DataError, match="share the stem 'drive0_000'"):
        own_folder(tmp_path, part="train")


def test_unmatched_files_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_image(tmp_path / "images" / "drive0_077.png")
    assert "1 image(s) without mask left out, such as drive0_077" in own_folder(tmp_path, part="train").info.notes


def test_all_labels_ignored_in_a_part(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "classes.yaml").write_text("names: [road]\nignore: [0, 1, 2]\n")
    with pytest.raises(DataError, match="all labels of the part 'train' are ignored"):
        own_folder(tmp_path, part="train")


def test_mask_of_another_size_and_with_more_classes(tmp_path: Path) -> None:
    write_folder(tmp_path)
    frames = own_folder(tmp_path, part="train")
    write_mask(frames.frames[1].mask, size=(12, 15))
    with pytest.raises(DataError, match="the mask is 15x12 pixels"):
        frames[1]
    write_mask(frames.frames[1].mask, np.full((12, 16), 3))
    with pytest.raises(DataError, match=r"unknown mask value 3.*\(3 classes\)"):
        frames[1]


def test_colour_masks_and_jpeg_images_in_subfolders(tmp_path: Path) -> None:
    colours = np.array([[128, 64, 128], [0, 160, 0], [70, 130, 180]], dtype=np.uint8)
    for town in "abc":
        write_image(tmp_path / "images" / town / "0.jpg")
        mask = colours[np.arange(12)[:, None] % 3 + np.zeros(16, int)]
        (tmp_path / "masks" / town).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / "masks" / town / "0.png")
    (tmp_path / "classes.yaml").write_text(CLASSES_YAML)
    sample = own_folder(tmp_path, part="train", group="^([a-z])/")[0]
    assert sample.label is not None
    assert sample.label[:, 0].tolist() == [0, 1, 2] * 4


def test_yaml_file_describes_a_data_set(tmp_path: Path) -> None:
    write_folder(tmp_path / "frames")
    (tmp_path / "frames" / "masks").rename(tmp_path / "frames" / "labels")
    (tmp_path / "data.yaml").write_text("root: frames\nmasks: labels\nnames: [a, b, c]\nsplit: frame\n")
    frames = build_dataset(str(tmp_path / "data.yaml"), part="report")
    assert frames.info.class_names == ("a", "b", "c")
    assert len(frames) == 1
    (tmp_path / "data.yaml").write_text("root: frames\nmaskes: labels\nnames: [a, b, c]\n")
    with pytest.raises(ConfigurationError, match="did you mean 'masks'"):
        build_dataset(str(tmp_path / "data.yaml"), part="report")


def test_unlabelled_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "b.png")
    write_image(tmp_path / "a" / "c.jpg")
    frames = UnlabelledFolder(tmp_path)
    assert frames.ids == ("a/c", "b")
    assert frames[0].label is None
    assert not frames[0].labelled
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images found"):
        UnlabelledFolder(tmp_path / "empty")
