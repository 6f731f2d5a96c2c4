"""What an audit found, as data for programs and as lines for people."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from foglight.data.audit.problems import Problem

MOST_SHOWN: Final = 5
MEBIBYTE: Final = 2**20


@final
@dataclass(frozen=True)
class PartFindings:
    """One part.

    Attributes:
        name: of the part.
        frames: that can be used.
        unlabelled: of them without a mask.
        groups: independent groups of frames.
        sizes: frames by "height x width".
        class_pixels: by class name.
        ignored_pixels: that say nothing.
        absent: classes without a single pixel.
        copied_label_miou: mIoU of copying the label of the most similar training image, a fraction.
    """

    name: str
    frames: int
    unlabelled: int
    groups: int
    sizes: Mapping[str, int]
    class_pixels: Mapping[str, int]
    ignored_pixels: int
    absent: tuple[str, ...]
    copied_label_miou: float | None


@final
@dataclass(frozen=True)
class RawValue:
    """One raw mask value.

    Attributes:
        value: index, or colour as "#rrggbb".
        pixels: of it.
        share: of all mask pixels, a fraction.
        meaning: class name, "ignored", or "unknown".
    """

    value: str
    pixels: int
    share: float
    meaning: str


@final
@dataclass(frozen=True)
class Duplicate:
    """Two frames of different parts that look alike.

    Attributes:
        part: of the first.
        frame: its id.
        other_part: of the second.
        other_frame: its id.
        bits: of their 64-bit hashes that differ.
    """

    part: str
    frame: str
    other_part: str
    other_frame: str
    bits: int


@final
@dataclass(frozen=True)
class SharedGroup:
    """A group with frames in two parts.

    Attributes:
        group: its name.
        parts: the two.
        gap: smallest difference between the frame numbers; None where names hold no numbers.
    """

    group: str
    parts: tuple[str, str]
    gap: int | None


@final
@dataclass(frozen=True)
class Audit:
    """Everything that `check-data` found.

    Attributes:
        name: of the data set.
        parts: train first.
        raw_values: before mapping, by pixels; empty where masks are not files.
        problems: to be mended.
        duplicates: near-copies across parts.
        shared_groups: groups that stand in two parts.
        suggestion: a class mapping to try; None where the present one fits.
        memory_bytes: of all parts held in memory.
        notes: what the data set says of itself.
    """

    name: str
    parts: tuple[PartFindings, ...]
    raw_values: tuple[RawValue, ...]
    problems: tuple[Problem, ...]
    duplicates: tuple[Duplicate, ...]
    shared_groups: tuple[SharedGroup, ...]
    suggestion: str | None
    memory_bytes: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, numbers and None."""
        return _plain(dataclasses.asdict(self))

    def lines(self) -> tuple[str, ...]:
        """The same for people."""
        return tuple(_lines(self))


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    return [_plain(value) for value in content] if isinstance(content, list | tuple) else content


def _lines(audit: Audit) -> Iterator[str]:
    yield f"{audit.name}: {len(audit.parts)} part(s), {audit.memory_bytes / MEBIBYTE:.1f} MiB held in memory"
    for part in audit.parts:
        sizes = ", ".join(f"{size} ({count})" if len(part.sizes) > 1 else size for size, count in part.sizes.items())
        bare = f", {part.unlabelled} without a mask" if part.unlabelled else ""
        yield f"  {part.name:<8}{part.frames} frames{bare}, {part.groups} independent group(s), {sizes or 'no frame'}"
    yield from _shares(audit)
    if audit.raw_values:
        shown = audit.raw_values[: 4 * MOST_SHOWN]
        listed = ", ".join(f"{raw.value} ({raw.share:.2%}, {raw.meaning})" for raw in shown)
        more = len(audit.raw_values) - len(shown)
        yield f"raw mask values: {listed}" + (f" and {more} more" if more else "")
    yield from _leakage(audit)
    if audit.suggestion:
        yield f"suggested mapping: {audit.suggestion}"
    yield from (f"note: {note}" for note in audit.notes)
    yield from _problems(audit.problems)


def _shares(audit: Audit) -> Iterator[str]:
    if not audit.parts:
        return
    names = tuple(audit.parts[0].class_pixels)
    width = max((len(name) for name in names), default=0) + 2
    yield f"  {'share of pixels':<{max(width, 17)}}" + "".join(f"{part.name:>10}" for part in audit.parts)
    for name in (*names, "(ignored)"):
        cells: list[str] = []
        for part in audit.parts:
            pixels = part.class_pixels.get(name, part.ignored_pixels)
            total = sum(part.class_pixels.values()) + part.ignored_pixels
            cells.append(f"{pixels / total:.2%}" if pixels else "-")
        yield f"  {name:<{max(width, 17)}}" + "".join(f"{cell:>10}" for cell in cells)
    for part in audit.parts:
        if part.absent:
            yield f"absent from {part.name}: {', '.join(part.absent)}"


def _leakage(audit: Audit) -> Iterator[str]:
    for part in audit.parts:
        if part.copied_label_miou is not None:
            yield (
                f"copying the label of the most similar train image scores {part.copied_label_miou:.1%} mIoU "
                f"on {part.name}"
            )
    for (part, other), count in Counter((twin.part, twin.other_part) for twin in audit.duplicates).items():
        twin = next(twin for twin in audit.duplicates if (twin.part, twin.other_part) == (part, other))
        yield (
            f"near-duplicates: {count} frame(s) of {part} look like one of {other}, such as {twin.frame} and "
            f"{twin.other_frame} ({twin.bits} of 64 bits differ)"
        )
    for shared in audit.shared_groups:
        gap = "" if shared.gap is None else f", nearest frames {shared.gap} apart"
        yield f"group {shared.group} stands in {shared.parts[0]} and {shared.parts[1]}{gap}"


def _problems(problems: tuple[Problem, ...]) -> Iterator[str]:
    if not problems:
        yield "no problems found"
        return
    yield f"{len(problems)} problem(s):"
    for kind in dict.fromkeys(problem.kind for problem in problems):
        same = [problem for problem in problems if problem.kind == kind]
        yield from (f"  {problem.text}" for problem in same[:MOST_SHOWN])
        if len(same) > MOST_SHOWN:
            yield f"  ... and {len(same) - MOST_SHOWN} more of this kind ({kind})"
        yield f"    to mend: {same[0].remedy}"
