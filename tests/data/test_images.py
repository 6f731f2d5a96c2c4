"""Files as they come: modes, depths, damage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.builders import write_image
from foglight.data.images import read_image, read_mask, require_same_size
from foglight.errors import DataError


def test_grey_image_is_repeated_over_three_channels(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png"), torch.from_numpy(values).expand(3, 2, 3))


def test_sixteen_bit_image_is_scaled_to_bytes(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].tolist() == [[0, 1, 255]]


def test_image_is_turned_as_its_orientation_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(np.array([[1, 2, 3]], dtype=np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[1], [2], [3]]


def test_palette_image_with_transparency_becomes_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((2, 2), np.uint8))
    image.putpalette([9, 8, 7] * 256)
    image.save(tmp_path / "a.png", transparency=bytes([0] * 256))
    assert read_image(tmp_path / "a.png")[:, 0, 0].tolist() == [9, 8, 7]


def test_palette_mask_gives_indices_not_colours(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 2, 1]], dtype=np.uint8))
    mask.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    mask.save(tmp_path / "a.png")
    raw = read_mask(tmp_path / "a.png")
    assert raw.values.tolist() == [[0, 2, 1]]
    assert not raw.colour


def test_one_bit_mask_gives_zero_and_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1").save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").values.tolist() == [[0, 1]]


def test_sixteen_bit_mask_keeps_its_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[3, 1000]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").values.tolist() == [[3, 1000]]


def test_colour_mask_packs_its_colours(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[1, 2, 3]]], dtype=np.uint8)).save(tmp_path / "a.png")
    raw = read_mask(tmp_path / "a.png")
    assert raw.values.tolist() == [[0x010203]]
    assert raw.colour


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: no such image file"):
        read_image(tmp_path / "gone.png")


def test_truncated_png_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (64, 64))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.png: cannot be read as image.*cut short") as caught:
        read_image(tmp_path / "a.png")
    assert "\n" not in str(caught.value)


def test_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(DataError, match=r"a\.png: cannot be read as mask"):
        read_mask(tmp_path / "a.png")


def test_sizes_of_mask_and_image_are_named() -> None:
    with pytest.raises(DataError, match=r"m\.png: the mask is 5x4 pixels, its image i\.png is 6x4"):
        require_same_size(Path("i.png"), torch.zeros(3, 4, 6), Path("m.png"), torch.zeros(4, 5))
