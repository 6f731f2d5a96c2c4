"""Is the mapping that raw mask values suggest the one that people mean?"""

import pytest

from foglight.data.audit.suggestion import suggest_mapping


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ((0, 255), (), "map: {0: background, 255: foreground}"),
        ((0, 255), ("skin", "lesion"), "names: [skin, lesion], map: {0: skin, 255: lesion}"),
        ((0, 1, 2), (), "values 0..2 are class indices as they are: names: [class 0, class 1, class 2]"),
        ((0, 1, 255), (), "255 is ignored (33.3% of all pixels)"),
        ((1, 2, 3), (), "values start at 1: names: [class 0, class 1, class 2], map: {1: 0, 2: 1, 3: 2}"),
        ((0, 1, 2), ("cat", "dog"), "names: [cat, dog], map: {1: 0, 2: 1}, ignore: [0]"),
        ((0, 2, 7, 9), ("a", "b", "c"), "7, 9 (50.0% of all pixels) have no name: name them, or ignore: [7, 9]"),
        ((0, 38, 75), (), "values with gaps: names: [class 0, class 1, class 2], map: {0: 0, 38: 1, 75: 2}"),
    ],
)
def test_indices(values: tuple[int, ...], names: tuple[str, ...], expected: str) -> None:
    suggested = suggest_mapping(dict.fromkeys(values, 100), colour=False, names=names)
    assert suggested is not None
    assert expected in suggested


def test_colours_become_a_palette() -> None:
    suggested = suggest_mapping({0x804080: 5, 0x000000: 9}, colour=True)
    assert suggested == 'one class per colour: names: [class 0, class 1], palette: ["#000000", "#804080"]'


def test_hundreds_of_values_are_the_traces_of_compression() -> None:
    suggested = suggest_mapping(dict.fromkeys(range(0, 3000, 10), 1), colour=True)
    assert suggested is not None
    assert suggested.startswith("300 different values: the masks were smoothed or saved as JPEG")


def test_nothing_suggests_nothing() -> None:
    assert suggest_mapping({}, colour=False) is None
