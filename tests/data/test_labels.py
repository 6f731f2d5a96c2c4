"""What raw mask values mean, and what the user is told where they mean nothing."""

from pathlib import Path

import pytest
import torch

from data.builders import CLASSES_YAML, NAMES
from foglight.data.classes_file import parse_classes, read_yaml
from foglight.data.images import RawMask
from foglight.data.labels import LabelTable
from foglight.errors import ConfigurationError, DataError

PATH = Path("m.png")


def _indices(*values: int) -> RawMask:
    return RawMask(torch.tensor([values], dtype=torch.int32), colour=False)


def _colours(*values: int) -> RawMask:
    return RawMask(torch.tensor([values], dtype=torch.int32), colour=True)


def test_without_a_table_an_index_is_its_class_and_255_is_ignored() -> None:
    assert LabelTable(NAMES).apply(_indices(2, 0, 255), PATH).tolist() == [[2, 0, 255]]


def test_a_table_is_complete() -> None:
    table = LabelTable(NAMES, {7: 0, 255: 1}, ignored=frozenset([9]))
    assert table.apply(_indices(7, 255, 9), PATH).tolist() == [[0, 1, 255]]
    with pytest.raises(DataError, match=r"unknown mask value 0; expected one of 7, 9, 255"):
        table.apply(_indices(0), PATH)


def test_unknown_index_names_file_value_and_remedy() -> None:
    with pytest.raises(DataError, match=r"m\.png: unknown mask value 3, 17; .*3 classes.*`ignore:`"):
        LabelTable(NAMES, described_in="classes.yaml").apply(_indices(0, 3, 17), PATH)
    with pytest.raises(DataError, match=r"value 3; .*masks as published.*unknown=ignore"):
        LabelTable(NAMES).apply(_indices(3), PATH)


def test_unknown_values_may_be_ignored() -> None:
    assert LabelTable(NAMES, unknown="ignore").apply(_indices(0, 3), PATH).tolist() == [[0, 255]]


def test_unknown_colour_names_file_and_colour() -> None:
    table = LabelTable(NAMES, colours={0x804080: 0}, ignored_colours=frozenset([0xFFFFFF]))
    assert table.apply(_colours(0x804080, 0xFFFFFF), PATH).tolist() == [[0, 255]]
    with pytest.raises(DataError, match=r"m\.png: unknown mask colour #000102; expected one of #804080, #ffffff"):
        table.apply(_colours(0x000102), PATH)


def test_grey_rgb_mask_is_read_as_indices_but_a_colour_needs_a_palette() -> None:
    assert LabelTable(NAMES).apply(_colours(0x010101, 0x020202), PATH).tolist() == [[1, 2]]
    with pytest.raises(DataError, match=r"no colours are known.*palette"):
        LabelTable(NAMES, described_in="classes.yaml").apply(_colours(0x010203), PATH)


def test_class_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(
        CLASSES_YAML + "map: {7: road, 8: 2, '#000000': ignore}\nignore: [9, [1, 2, 3]]\n"
    )
    classes = parse_classes(read_yaml(tmp_path / "classes.yaml"), "classes.yaml")
    assert classes.names == NAMES
    assert classes.palette[2] == (70, 130, 180)
    assert classes.indices == {7: 0, 8: 2}
    assert classes.colours == {0x804080: 0, 0x00A000: 1, 0x4682B4: 2, 0: 255}
    assert classes.ignored == {9}
    assert classes.ignored_colours == {0x010203}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nmaes": ["a"]}, "did you mean 'names'"),
        ({}, "expected `names:`"),
        ({"names": ["a", "a"]}, "different class names"),
        ({"names": ["a", "b"], "palette": [[0, 0, 0]]}, "expected 2 colours in `palette:`"),
        ({"names": ["a"], "palette": [3]}, "plain number"),
        ({"names": ["road"], "map": {1: "raod"}}, "did you mean 'road'"),
        ({"names": ["road"], "map": {1: 5}}, "names the class 5"),
        ({"names": ["a"], "map": [1]}, "expected `map:` to hold pairs"),
        ({"names": ["a"], "ignore": ["#12345g"]}, "expected an index such as 7, or a colour"),
        ({"names": ["a"], "ignore": [True]}, "expected an index"),
    ],
)
def test_malformed_class_file_is_explained(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_classes(content, "classes.yaml")


@pytest.mark.parametrize(("text", "message"), [("a: [", "not readable as YAML"), ("- a\n", "expected keys and values")])
def test_unreadable_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
