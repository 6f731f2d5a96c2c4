"""Line charts and reliability diagrams as inline SVG: no script, no font, colours from the page's style sheet.

Coordinates are rounded to a tenth of a pixel and everything is a pure function of the numbers, so that the same run
gives the same bytes. Text goes through markupsafe: a term's name may hold anything.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

from foglight.report.numbers import short
from foglight.report.records import Point

WIDTH: Final = 420.0
HEIGHT: Final = 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 10.0, 34.0
# Beyond this ratio of its largest to its smallest value a positive quantity is drawn on a logarithmic axis.
LOGARITHMIC_FROM: Final = 30.0
MOST_POINTS: Final = 300
COLOURS: Final = 8  # line-0 ... line-7 in the style sheet


def line_chart(lines: Mapping[str, Sequence[Point]], *, label: str) -> Markup:
    """Values over steps, one line per name; the legend is the caller's.

    Args:
        lines: at least one point in all.
        label: what a screen reader says.

    Raises:
        ValueError: if there is no finite point.
    """
    points = {name: [(x, y) for x, y in line if math.isfinite(y)] for name, line in lines.items()}
    values = [y for line in points.values() for _, y in line]
    if not values:
        raise ValueError("expected at least one finite point, got none")
    steps = [x for line in points.values() for x, _ in line]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > LOGARITHMIC_FROM
    ticks = logarithmic_ticks(low, high) if logarithmic else linear_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = float(min(steps)), float(max(steps))

    def across(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - first) / (last - first) if last > first else 0.5)

    def down(value: float) -> float:
        if logarithmic:
            part = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        else:
            part = (value - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    pieces = [_grid_line(down(tick), short(tick)) for tick in ticks]
    for tick in linear_ticks(first, last) if last > first else [first]:
        if first <= tick <= last:
            pieces.append(_text(across(tick), HEIGHT - BOTTOM + 15, short(tick) if tick < 1000 else f"{tick:.0f}"))
    pieces.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "step"))
    for index, line in enumerate(points.values()):
        pieces.append(_line([(across(float(x)), down(y)) for x, y in thinned(line)], index))
    return _svg(pieces, WIDTH, HEIGHT, label)


def reliability_chart(bins: Sequence[Mapping[str, Any]], *, label: str) -> Markup:
    """Accuracy over confidence: a bar per bin, the diagonal of a calibrated network, and each bin's share below."""
    size, left, top, strip = 190.0, 40.0, 10.0, 34.0
    total = sum(entry["pixels"] for entry in bins) or 1
    most = max((entry["pixels"] for entry in bins), default=0) or 1
    pieces = [
        Markup('<line class="grid" x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}"/>').format(left, y, left + size, y)
        for y in (top, top + size / 2, top + size)
    ]
    for text, y in (("100", top), ("50", top + size / 2), ("0", top + size)):
        pieces.append(_text(left - 6, y + 4, text, anchor="end"))
    for entry in bins:
        if entry["accuracy"] is None or entry["confidence"] is None:
            continue
        x, width = left + size * entry["low"], size * (entry["high"] - entry["low"])
        height = size * entry["accuracy"]
        gap = size * (entry["confidence"] - entry["accuracy"])
        title = Markup("<title>confidence {:.1f} %, accuracy {:.1f} %, {:.1f} % of the pixels</title>").format(
            100 * entry["confidence"], 100 * entry["accuracy"], 100 * entry["pixels"] / total
        )
        pieces.append(_box("bar", x + 0.5, top + size - height, width - 1, height, title))
        # What separates the bin from the diagonal at its own mean confidence.
        edge = top + size - max(height, height + gap)
        pieces.append(_box("over" if gap > 0 else "under", x + 0.5, edge, width - 1, abs(gap), title))
        tall = (strip - 6) * entry["pixels"] / most
        pieces.append(_box("count", x + 0.5, top + size + strip - tall, width - 1, tall, title))
    pieces.append(
        Markup('<line class="diagonal" x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}"/>').format(
            left, top + size, left + size, top
        )
    )
    pieces.append(_text(left, top + size + strip + 14, "0", anchor="start"))
    pieces.append(_text(left + size / 2, top + size + strip + 14, "confidence in %"))
    pieces.append(_text(left + size, top + size + strip + 14, "100", anchor="end"))
    return _svg(pieces, left + size + 6, top + size + strip + 20, label)


def linear_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from at or below `low` to at or above `high`.

    >>> linear_ticks(0.13, 0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> linear_ticks(3.0, 3.0)
    [2.0, 2.5, 3.0, 3.5, 4.0]
    """
    if high <= low:
        room = abs(low) / 3 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    number = math.ceil(high / step - 1e-9) - first
    return [round((first + index) * step, 12) for index in range(number + 1)]


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, at most six of them.

    >>> logarithmic_ticks(0.02, 30.0)
    [0.01, 0.1, 1.0, 10.0, 100.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(math.ceil((last - first) / 5), 1)
    return [10.0**power for power in range(first, last + every, every)]


def thinned(line: Sequence[Point]) -> list[Point]:
    """At most a few hundred points, evenly taken, the last one among them: a page need not hold a long run's log."""
    if len(line) <= MOST_POINTS:
        return list(line)
    return [line[index * (len(line) - 1) // (MOST_POINTS - 1)] for index in range(MOST_POINTS)]


def _line(points: Sequence[tuple[float, float]], index: int) -> Markup:
    if len(points) == 1:
        (x, y) = points[0]
        return Markup('<circle class="line-{} dot" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(index % COLOURS, x, y)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="line-{}" points="{}"/>').format(index % COLOURS, path)


def _grid_line(y: float, text: str) -> Markup:
    line = Markup('<line class="grid" x1="{:g}" y1="{:.1f}" x2="{:g}" y2="{:.1f}"/>').format(LEFT, y, WIDTH - RIGHT, y)
    return line + _text(LEFT - 6, y + 4, text, anchor="end")


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _box(kind: str, x: float, y: float, width: float, height: float, title: Markup) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">{}</rect>').format(
        kind, x, y, width, height, title
    )


def _svg(pieces: Sequence[Markup], width: float, height: float, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        width, height, escape(label), Markup("").join(pieces)
    )
