"""Do pictures show what the tensors hold?"""

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from foglight.report.pictures import (
    IGNORED,
    MAX_WIDTH,
    errors,
    heat_picture,
    index_picture,
    photo,
    share,
    thumbnail,
)
from foglight.report.records import Picture


def pixels(picture: Picture) -> np.ndarray:
    content = base64.b64decode(picture.uri.partition(",")[2])
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def test_a_label_has_the_colours_of_its_classes_and_ignored_pixels_are_black() -> None:
    picture = index_picture("truth", torch.tensor([[0, 1, 255]]), [(1, 2, 3), (200, 100, 50)])
    assert pixels(picture)[0].tolist() == [[1, 2, 3], [200, 100, 50], list(IGNORED)]


def test_a_wide_label_is_thinned_out_and_never_mixed() -> None:
    label = torch.arange(2).repeat(50, 1000)
    picture = index_picture("truth", label, [(0, 0, 255), (255, 0, 0)])
    assert picture.size == (MAX_WIDTH, 10)
    assert {tuple(colour) for colour in pixels(picture).reshape(-1, 3).tolist()} <= {(0, 0, 255), (255, 0, 0)}


def test_a_photo_keeps_its_shape_and_roughly_its_colours() -> None:
    image = torch.zeros(3, 300, 1200, dtype=torch.uint8)
    image[0] = 200
    picture = photo("image", image)
    assert picture.size == (MAX_WIDTH, 100)
    assert np.abs(pixels(picture).astype(int) - [200, 0, 0]).max() < 6


def test_a_heat_map_is_bright_where_the_value_is_large() -> None:
    brightness = pixels(heat_picture("sigma", torch.tensor([[0.0, 0.25, 0.5]]), brightest=0.5)).sum(-1)[0]
    assert brightness[0] < brightness[1] < brightness[2]


def test_a_map_of_zeros_is_dark() -> None:
    assert pixels(heat_picture("sigma", torch.zeros(2, 2), brightest=0.0)).max() < 10


def test_a_share_counts_scored_pixels_only() -> None:
    wrong = errors(torch.tensor([[1, 1, 255, 255]]), torch.tensor([[1, 0, 0, 1]]), ignore_index=255)
    assert share(wrong, 1, ignored=2) == 0.5
    nothing = errors(torch.tensor([[255]]), torch.tensor([[0]]), ignore_index=255)
    assert share(nothing, 1, ignored=2) is None


def test_a_thumbnail_averages() -> None:
    values = torch.tensor([0.0, 1.0]).repeat(4, MAX_WIDTH)
    assert thumbnail(values).mean().item() == pytest.approx(0.5)
