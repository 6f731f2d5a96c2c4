"""Are the standard data sets read as published: right ids, right counts, and one clear line where a file is wrong?"""

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from data.builders import write_image, write_mask
from data.layouts import (
    SIZE,
    bands,
    run_lengths,
    write_ade20k,
    write_cityscapes,
    write_kitti,
    write_nuimages,
    write_nyuv2,
    write_sixteen_bit,
    write_vkitti2,
    write_voc,
)
from foglight.cli import run
from foglight.data.dataset import SegmentationDataset
from foglight.data.groups import PARTS, Part
from foglight.data.kitti import REPORT_NAMES, frame_name
from foglight.data.registry import build_dataset
from foglight.data.run_length import decode_base64_mask
from foglight.data.splits_by_hash import first_by_hash, list_digest
from foglight.data.transforms import resize_sample
from foglight.errors import ConfigurationError, DataError

WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "cityscapes": write_cityscapes,
    "voc": write_voc,
    "ade20k": write_ade20k,
    "kitti": write_kitti,
    "vkitti2": write_vkitti2,
    "nyuv2": write_nyuv2,
    "nuimages": write_nuimages,
}


def build(name: str, root: Path, part: Part = "train", split: str | None = None, **options: Any) -> SegmentationDataset:
    return build_dataset(name, part=part, root=str(root), split=split, cache="none", options=options)


def values(dataset: SegmentationDataset, index: int = 0) -> list[int]:
    label = dataset[index].label
    assert label is not None
    return sorted(label.unique().tolist())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cityscapes", {}, [0, 1, 13, 18, 255]),
        ("kitti", {}, [0, 13, 255]),
        ("voc", {}, [0, 1, 20, 255]),
        ("ade20k", {}, [0, 1, 149, 255]),
        ("vkitti2", {}, [*range(14), 255]),
        ("vkitti2", {"undefined": "class"}, [*range(15)]),
        ("nyuv2", {}, [*range(40), 255]),
        ("nyuv2", {"classes": 13}, [0, 3, 4, 5, 6, 11, 255]),
        ("nuimages", {}, [1, 16, 23, 24, 255]),
        ("nuimages", {"background": "class"}, [1, 16, 23, 24, 25]),
    ],
)
def test_published_ids_become_training_ids(
    tmp_path: Path, name: str, options: dict[str, Any], expected: list[int]
) -> None:
    dataset = build(name, WRITERS[name](tmp_path), **options)
    assert values(dataset) == expected
    assert dataset[0].size == SIZE


def test_every_id_of_cityscapes_goes_where_the_published_table_says(tmp_path: Path) -> None:
    """The published names by id, so that an id and a class that changed places cannot both look right."""
    published = {7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
                 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
                 27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}  # fmt: skip
    write_cityscapes(tmp_path)
    path = tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    write_mask(path, np.arange(64)[None].repeat(32, 0) % 34)
    dataset = build("cityscapes", tmp_path)
    label = dataset[0].label
    assert label is not None
    named = {i: dataset.info.class_names[int(label[0, i])] for i in range(34) if label[0, i] != 255}
    assert named == published


@pytest.mark.parametrize(
    ("name", "split", "counts"),
    [
        ("cityscapes", None, (4, 2, 2)),
        ("cityscapes", "held-out", (2, 2, 2)),
        ("voc", None, (3, 2, 2)),
        ("ade20k", None, (3, 2, 2)),
        ("ade20k", "held-out", (2, 1, 2)),
        ("kitti", None, (4, 2, 2)),
        ("kitti", "held-out", (3, 1, 2)),
        ("vkitti2", None, (12, 4, 4)),
        ("vkitti2", "frame", (14, 6, 6)),
        ("nyuv2", None, (4, 2, 2)),
        ("nyuv2", "held-out", (2, 2, 2)),
        ("nuimages", None, (6, 2, 2)),
        ("nuimages", "log", (4, 2, 2)),
    ],
)
def test_parts_have_the_frames_they_should(
    tmp_path: Path, name: str, split: str | None, counts: tuple[int, ...]
) -> None:
    root = WRITERS[name](tmp_path)
    parts = {part: build(name, root, part, split) for part in PARTS}
    assert tuple(len(dataset) for dataset in parts.values()) == counts
    assert not set(parts["train"].ids) & {*parts["tune"].ids, *parts["report"].ids}
    if split in ("held-out", "log"):
        assert not set(parts["tune"].ids) & set(parts["report"].ids)
    elif name != "vkitti2" or split == "frame":
        assert any("tune and report are the same frames" in note for note in parts["report"].info.notes)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("cityscapes", "found 4 frames in train, the published set has 2975"),
        ("voc", "found 3 training frames, the published set has 1464"),
        ("ade20k", "found 3 frames in training, the published set has 20210"),
        ("kitti", "found 6 labelled frames, the published set has 200"),
        ("vkitti2", "found 20 frames of one camera, the published set has 21260"),
        ("nyuv2", "found 4 training frames, the published set has 795"),
        ("nuimages", "found 8 labelled frames in v1.0-mini, the published set has 50"),
    ],
)
def test_check_data_warns_with_both_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, word: str
) -> None:
    root = WRITERS[name](tmp_path)
    assert run(["check-data", name, "--root", str(root), "-o", str(tmp_path / "sheet.png")]) == 0
    assert word in capsys.readouterr().out


def test_check_data_takes_the_options_of_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that depth, too, is looked at before hours are spent on it."""
    root = write_kitti(tmp_path)
    write_sixteen_bit(root / ONE_MAP["kitti"][0], np.zeros(SIZE))
    check = ["check-data", "kitti", "--root", str(root), "-o", str(tmp_path / "sheet.png")]
    assert run(check) == 0
    capsys.readouterr()
    assert run([*check, "--option", "extra=disparity"]) == 2
    assert "000003_10.png: all 2048 pixels are 0" in capsys.readouterr().out
    assert run([*check, "--option", "extra"]) == 2
    assert "--option: expected KEY=VALUE, got 'extra'" in capsys.readouterr().err


def test_tune_and_report_that_are_the_same_frames_are_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_ade20k(tmp_path)
    assert run(["check-data", "ade20k", "--root", str(root), "-o", str(tmp_path / "sheet.png")]) == 0
    said = capsys.readouterr().out
    assert said.count("tune and report are the same frames") == 1
    assert "look like one of tune" not in said
    assert "stands in tune and report" not in said


def test_voc_with_sbd_takes_what_is_not_validation(tmp_path: Path) -> None:
    train = build("voc", write_voc(tmp_path), sbd=True)
    assert train.ids == ("2007_000000", "2007_000001", "2007_000002", "2008_000000", "2008_000001")
    assert values(train, 0) == [0, 1, 20, 255]
    assert values(train, 3) == [0, 15]
    assert "10582" in train.info.notes[0]
    assert len(build("voc", tmp_path, "report", sbd=True)) == 2


def test_voc_with_sbd_reads_converted_masks_and_a_public_list(tmp_path: Path) -> None:
    base = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    write_mask(base / "SegmentationClassAug" / "2008_000000.png", bands([0, 3]))
    (base / "ImageSets/Segmentation/train_aug.txt").write_text(
        "/JPEGImages/2008_000000.jpg /SegmentationClassAug/2008_000000.png\n"
    )
    train = build("voc", tmp_path, sbd=True)
    assert train.ids == ("2008_000000",)
    assert values(train) == [0, 3]


def test_nuimages_paints_surfaces_then_objects_by_token(tmp_path: Path) -> None:
    label = build("nuimages", write_nuimages(tmp_path))[0].label
    assert label is not None
    adult, car, road, ego = 1, 16, 23, 24
    assert [int(label[row, column]) for row, column in ((0, 30), (18, 30), (25, 10), (25, 2), (31, 30))] == [
        255, road, car, adult, ego]  # fmt: skip


def test_run_lengths_come_back_as_they_were_written() -> None:
    draw = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = draw.random((37, 53)) < share
        assert np.array_equal(decode_base64_mask(run_lengths(mask)["counts"], mask.shape), mask)


def test_kittis_written_list_is_the_one_that_the_hash_gives() -> None:
    names = first_by_hash([frame_name(number) for number in range(200)], 50)
    assert set(names) == REPORT_NAMES
    assert list_digest(names) == "21ccb400030e"
    text = "".join(f"{name}\n" for name in names)
    assert hashlib.sha256(text.encode()).hexdigest().startswith("21ccb400030e")


def test_leak_of_the_frame_split_is_told(tmp_path: Path) -> None:
    root = write_vkitti2(tmp_path)
    assert any("split frame leaks" in note for note in build("vkitti2", root, "report", "frame").info.notes)
    by_scene = build("vkitti2", root, "report")
    assert not any("leaks" in note for note in by_scene.info.notes)
    assert build("vkitti2", root, variations=["fog"]).ids[0].split("/")[1] == "fog"


def test_disparity_and_depth_are_in_their_units(tmp_path: Path) -> None:
    city = build("cityscapes", write_cityscapes(tmp_path / "c"), extra="disparity")
    extra = city[0].extra
    assert extra is not None
    assert extra[0, 0, :3].tolist() == pytest.approx([0, 1 - 1 / 256, 2 - 1 / 256])
    assert city[0].extra_kinds == city.info.extra_kinds == ("disparity",)
    half = resize_sample(city[0], (16, 32)).extra
    assert half is not None
    assert float(half.max()) < float(extra.max()) / 2 + 1e-4
    kitti = build("kitti", write_kitti(tmp_path / "k"), extra="disparity")[0].extra
    assert kitti is not None
    assert kitti.unique().tolist() == [0, 1, 10]
    virtual = build("vkitti2", write_vkitti2(tmp_path / "v"), extra="depth")[0].extra
    assert virtual is not None
    assert virtual.unique().tolist() == pytest.approx([0, 1.5, 655.35])


def test_nyus_normals_are_unit_vectors_that_fit_its_depth(tmp_path: Path) -> None:
    sample = build("nyuv2", write_nyuv2(tmp_path), extra="depth+normals")[0]
    assert sample.extra is not None
    assert sample.extra_kinds == ("depth", "normal_x", "normal_y", "normal_z")
    assert sample.extra[0, :, 0].tolist() == list(range(1, 33))
    lengths = sample.extra[1:].norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    # Depth grows downwards and is the same along a row: a ceiling, whose normal has no x.
    assert float(sample.extra[1].abs().max()) < 0.2


CITY = "aachen/aachen_000000_000019"
ONE_LABEL = {
    "cityscapes": f"gtFine/train/{CITY}_gtFine_labelIds.png",
    "voc": "VOCdevkit/VOC2012/SegmentationClass/2007_000000.png",
    "ade20k": "annotations/training/ADE_train_00000001.png",
    "kitti": "training/semantic/000003_10.png",
    "vkitti2": "Scene01/clone/frames/classSegmentation/Camera_0/classgt_00000.png",
    "nyuv2": "classMapping40.mat",
    "nuimages": "v1.0-mini/surface_ann.json",
}
ONE_IMAGE = {
    "cityscapes": f"leftImg8bit/train/{CITY}_leftImg8bit.png",
    "voc": "VOCdevkit/VOC2012/JPEGImages/2007_000000.jpg",
    "ade20k": "images/training/ADE_train_00000001.jpg",
    "kitti": "training/image_2/000003_10.png",
    "vkitti2": "Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg",
    "nuimages": "samples/CAM_FRONT/n000_0000.jpg",
}
FILES = ["cityscapes", "voc", "ade20k", "kitti", "vkitti2"]


def read_everything(name: str, root: Path, **options: Any) -> None:
    for part in PARTS:
        dataset = build(name, root, part, **options)
        for index in range(len(dataset)):
            dataset[index]


def message(name: str, root: Path, **options: Any) -> str:
    """What a reader says when every frame of every part is read."""
    with pytest.raises(DataError) as raised:
        read_everything(name, root, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert " To mend it: " in text
    return text


@pytest.mark.parametrize("name", WRITERS)
def test_missing_folder_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-data", name, "--root", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert f"foglight fetch-data {name}" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", WRITERS)
def test_missing_label_is_named(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    (root / ONE_LABEL[name]).unlink()
    assert ONE_LABEL[name] in message(name, root)


@pytest.mark.parametrize("name", ONE_IMAGE)
def test_corrupt_image_is_named(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    path = root / ONE_IMAGE[name]
    path.write_bytes(path.read_bytes()[:100])
    assert re.search(f"{re.escape(ONE_IMAGE[name])}: cannot be read as image", message(name, root))


@pytest.mark.parametrize("name", WRITERS)
def test_corrupt_label_is_named(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    path = root / ONE_LABEL[name]
    path.write_bytes(path.read_bytes()[:60])
    assert re.search(f"{re.escape(ONE_LABEL[name])}: cannot be read", message(name, root))


@pytest.mark.parametrize(("name", "value"), [("cityscapes", 40), ("voc", 21), ("ade20k", 151), ("kitti", 34)])
def test_unknown_id_is_named(name: str, value: int, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    write_mask(root / ONE_LABEL[name], bands([0, value]))
    assert re.search(f"{re.escape(ONE_LABEL[name])}: unknown mask value {value};", message(name, root))
    assert 255 in values(build(name, root, unknown="ignore"))


def test_unknown_colour_is_named(tmp_path: Path) -> None:
    root = write_vkitti2(tmp_path)
    write_mask(root / ONE_LABEL["vkitti2"], np.full((*SIZE, 3), 7))
    assert "classgt_00000.png: unknown mask colour #070707" in message("vkitti2", root)


def test_unknown_label_of_nyu_is_named(tmp_path: Path) -> None:
    root = write_nyuv2(tmp_path)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        file["labels"][0, 0, 0] = 999
    assert "0001: unknown raw label 999, expected 0..894" in message("nyuv2", root)


def test_unknown_category_of_nuimages_is_named(tmp_path: Path) -> None:
    root = write_nuimages(tmp_path)
    table = root / "v1.0-mini" / "category.json"
    table.write_text(table.read_text().replace('"vehicle.car"', '"vehicle.hovercraft"'))
    assert "unknown category 'vehicle.hovercraft'" in message("nuimages", root)


@pytest.mark.parametrize("name", FILES)
def test_wrong_size_of_a_label_is_named(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    with Image.open(root / ONE_LABEL[name]) as picture:
        picture.resize((32, 16), Image.Resampling.NEAREST).save(root / ONE_LABEL[name])
    assert "the mask is 32x16 pixels" in message(name, root)


def test_wrong_size_of_an_image_of_nuimages_is_named(tmp_path: Path) -> None:
    root = write_nuimages(tmp_path)
    write_image(root / ONE_IMAGE["nuimages"], (16, 32))
    assert "n000_0000.jpg: the image is 32x16 pixels, its masks are 64x32" in message("nuimages", root)


def test_wrong_size_of_the_depth_of_nyu_is_named(tmp_path: Path) -> None:
    root = write_nyuv2(tmp_path)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        del file["depths"]
        file["depths"] = np.ones((6, 32, 16), np.float32)
    assert "0001: the depth is 32x16 pixels, its image 64x32" in message("nyuv2", root, extra="depth")


ONE_MAP = {
    "cityscapes": (f"disparity/train/{CITY}_disparity.png", "disparity"),
    "kitti": ("training/disp_occ_0/000003_10.png", "disparity"),
    "vkitti2": ("Scene01/clone/frames/depth/Camera_0/depth_00000.png", "depth"),
}


@pytest.mark.parametrize("name", ONE_MAP)
def test_depth_of_zeros_and_of_another_size_and_none_at_all_are_named(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path)
    path, extra = root / ONE_MAP[name][0], ONE_MAP[name][1]
    write_sixteen_bit(path, np.zeros(SIZE))
    assert f"{path.name}: all 2048 pixels are 0, which means not measured" in message(name, root, extra=extra)
    write_sixteen_bit(path, np.ones((16, 32)))
    assert f"{path.name}: the map is 32x16 pixels" in message(name, root, extra=extra)
    path.unlink()
    assert f"{path.name}: no such {extra} file; 1 of" in message(name, root, extra=extra)


def test_depth_of_zeros_of_nyu_is_named(tmp_path: Path) -> None:
    root = write_nyuv2(tmp_path)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        file["depths"][1] = 0
    assert "0002: all 2048 depths are 0" in message("nyuv2", root, extra="depth")


@pytest.mark.parametrize("name", WRITERS)
def test_unknown_split_is_a_helpful_word(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} has no split 'offcial'"):
        build(name, WRITERS[name](tmp_path), split="offcial")


@pytest.mark.parametrize(("name", "package"), [("voc", "scipy"), ("nyuv2", "h5py")])
def test_missing_package_is_one_line(name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = WRITERS[name](tmp_path)
    options = {"sbd": True} if name == "voc" else {}
    module = "scipy.io" if package == "scipy" else package
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigurationError, match=rf"{package}, which is not installed\. To mend it: run .*\[datasets\]"
    ):
        read_everything(name, root, **options)
