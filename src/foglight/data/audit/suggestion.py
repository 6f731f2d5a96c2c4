"""From raw mask values to a class mapping worth trying: what most people's masks turn out to mean.

Only the values are looked at; the names are the user's to give. In order:
two values, the larger 255 - a binary mask (255 would otherwise be ignored); 0 .. k-1, with or without 255 - as it is;
1 .. k - the classes from 1 on; 0 .. k for k names - 0 says nothing; values beyond the names - to be named or ignored;
anything else - the values in order.
"""

from collections.abc import Mapping
from typing import Final

from foglight.data.labels import colour_name
from foglight.types import IGNORE_INDEX

# More different values than this are no classes but the traces of lossy compression or of smoothing.
MOST_CLASSES: Final = 255


def suggest_mapping(raw: Mapping[int, int], *, colour: bool, names: tuple[str, ...] = ()) -> str | None:
    """Lines for `classes.yaml` and why; None where there is nothing to say.

    Args:
        raw: pixels by raw value.
        colour: whether the values are packed colours.
        names: of the classes, where the user gave them.

    >>> suggest_mapping({0: 9000, 255: 1000}, colour=False)
    'values 0 and 255 look like a binary mask: names: [background, foreground], map: {0: background, 255: foreground}'
    """
    values = sorted(raw)
    if not values:
        return None
    if len(values) > MOST_CLASSES + 1:
        return (
            f"{len(values)} different values: the masks were smoothed or saved as JPEG; "
            "export them again as PNG without anti-aliasing"
        )
    if colour:
        listed = ", ".join(f'"{colour_name(value)}"' for value in values)
        return f"one class per colour: names: {_names(len(values), names)}, palette: [{listed}]"
    if values == [0, IGNORE_INDEX]:
        first, second = names if len(names) == 2 else ("background", "foreground")
        return (
            f"values 0 and 255 look like a binary mask: names: [{first}, {second}], map: {{0: {first}, 255: {second}}}"
        )
    return _indices(values, raw, names)


def _indices(values: list[int], raw: Mapping[int, int], names: tuple[str, ...]) -> str:
    classes = [value for value in values if value != IGNORE_INDEX]
    void = "; 255 is ignored" if len(classes) < len(values) else ""
    if void:
        void += f" ({raw[IGNORE_INDEX] / sum(raw.values()):.1%} of all pixels)"
    if classes == list(range(1, len(classes) + 1)):
        return f"values start at 1{void}: {_listed(classes, names)}"
    if names and classes == list(range(len(names) + 1)):
        return f"0 beside {len(names)} named classes may mean nothing{void}: {_listed(classes[1:], names)}, ignore: [0]"
    beyond = [value for value in classes if value >= len(names)]
    if names and 0 < len(beyond) < len(classes):
        share = sum(raw[value] for value in beyond) / sum(raw.values())
        listed = ", ".join(map(str, beyond))
        return f"{listed} ({share:.1%} of all pixels) have no name{void}: name them, or ignore: [{listed}]"
    if classes == list(range(len(classes))):
        return f"values 0..{len(classes) - 1} are class indices as they are{void}: names: {_names(len(classes), names)}"
    return f"values with gaps{void}: {_listed(classes, names)}"


def _listed(values: list[int], names: tuple[str, ...]) -> str:
    pairs = ", ".join(f"{value}: {index}" for index, value in enumerate(values))
    return f"names: {_names(len(values), names)}, map: {{{pairs}}}"


def _names(count: int, names: tuple[str, ...]) -> str:
    given = names if len(names) == count else tuple(f"class {index}" for index in range(count))
    return f"[{', '.join(given)}]"
