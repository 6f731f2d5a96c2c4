"""A page in Markdown beside an exported file: what it is, what it was trained on, what it scored, how to call it."""

from collections.abc import Mapping, Sequence
from typing import Any

from foglight.export.measure import Parity


def model_card(
    *,
    name: str,
    description: Mapping[str, Any],
    scores: Mapping[str, Any] | None,
    parities: Sequence[Parity],
    measured_on: str,
    baked: Sequence[str],
) -> str:
    """The text.

    Args:
        name: of the file.
        description: what `student.json` says.
        scores: of the student on its report part, None where the run never scored it.
        parities: the network first.
        measured_on: which images the forms were compared on.
        baked: what the file does by itself.
    """
    classes = description.get("class_names") or [str(index) for index in range(description["num_classes"])]
    lines = [
        f"# {name}",
        "",
        f"A {description['name']} for semantic segmentation into {len(classes)} classes, trained on "
        f"{description.get('trained_on') or 'data that its file does not name'} with foglight"
        f" (method: {description.get('method') or 'none named'}, {description.get('steps') or 'unknown'} steps).",
        "",
        "## Input and output",
        "",
        f"- `image`: float32, batch x 3 x height x width, {_colours(description, baked)}.",
        f"- `logits`: float32, batch x classes x {_grid(description, baked)}.",
        f"- Baked in: {', '.join(baked) or 'nothing'}.",
    ]
    if description.get("input_size"):
        height, width = description["input_size"]
        lines.append(f"- It was trained on images resized to {height}x{width}; resize yours likewise.")
    lines += ["", "## Classes", "", ", ".join(f"{index} {title}" for index, title in enumerate(classes))]
    lines += ["", f"## The file against the network, on {measured_on}", "", *_parity_table(parities)]
    if scores is not None:
        lines += ["", "## Scores on the report part of its data", "", *_score_lines(scores)]
    lines += ["", f"Weights: {description['weights']}, sha256 {description['sha256']}.", ""]
    return "\n".join(lines)


def _colours(description: Mapping[str, Any], baked: Sequence[str]) -> str:
    if "normalisation" in baked:
        return "red, green, blue in [0, 1]"
    mean, std = description["normalisation"]["mean"], description["normalisation"]["std"]
    return f"already normalised: (red, green, blue in [0, 1] - {mean}) / {std}"


def _grid(description: Mapping[str, Any], baked: Sequence[str]) -> str:
    if "resize" in baked:
        return "height x width"
    return f"the head's own grid; resize bilinearly, align_corners={description['align_corners']}"


def _parity_table(parities: Sequence[Parity]) -> list[str]:
    rows = ["| form | largest difference | same class | mIoU | ms per image |", "|---|---|---|---|---|"]
    for one in parities:
        miou = "-" if one.miou is None else f"{100 * one.miou:.2f}"
        agreement, latency = f"{100 * one.agreement:.3f} %", f"{1e3 * one.latency:.1f}"
        rows.append(f"| {one.form} | {one.max_difference:.2g} | {agreement} | {miou} | {latency} |")
    return rows


def _score_lines(scores: Mapping[str, Any]) -> list[str]:
    shown = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "nll": "NLL", "brier": "Brier", "ece": "ECE"}
    return [f"- {title}: {scores[key]:.4f}" for key, title in shown.items() if isinstance(scores.get(key), float)]
