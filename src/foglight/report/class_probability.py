"""A panel of one class's probability: the image, where the class is, and what several networks give it there.

Probabilities lie between 0 (blue) and 1 (red) on one scale for all maps: LIX (arXiv 2403.08215v2), figure 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import final

import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.engine.evaluate import AnyNetwork, EvaluateSettings, predict
from foglight.types import Batch


@final
@dataclass(frozen=True)
class ProbabilityRow:
    """One image.

    Attributes:
        image: red, green, blue in [0, 1].
        truth: where the label is the class.
        maps: probability of the class by name of the network.
    """

    image: Float[Tensor, "3 H W"]
    truth: Bool[Tensor, "H W"]
    maps: Mapping[str, Float[Tensor, "H W"]]


@torch.no_grad()
def probability_rows(
    networks: Mapping[str, AnyNetwork], batch: Batch, class_index: int, *, settings: EvaluateSettings
) -> list[ProbabilityRow]:
    """One row per image of a labelled batch; the networks must be in eval mode.

    Raises:
        ValueError: for a batch without labels.
    """
    if batch.label is None:
        raise ValueError("expected a labelled batch, got one without labels")
    maps = {
        name: predict(network, batch.image, batch.extra, settings=settings, extra_kinds=batch.extra_kinds)[
            :, class_index
        ].exp()
        for name, network in networks.items()
    }
    return [
        ProbabilityRow(image, label == class_index, {name: values[index].cpu() for name, values in maps.items()})
        for index, (image, label) in enumerate(zip(batch.image.cpu(), batch.label.cpu(), strict=True))
    ]


def probability_figure(rows: Sequence[ProbabilityRow], *, class_name: str) -> Figure:
    """The image, the label's outline over it, then a map per network.

    Raises:
        ValueError: without rows.
    """
    if not rows:
        raise ValueError("expected at least one image, got none")
    names = list(rows[0].maps)
    figure = Figure(figsize=(2.6 * (1 + len(names)), 1.6 * len(rows)), layout="constrained")
    for axes, row in zip(figure.subplots(len(rows), 1 + len(names), squeeze=False), rows, strict=True):
        axes[0].imshow(row.image.permute(1, 2, 0).numpy())
        axes[0].set_title(f"image, {class_name} outlined", fontsize=8)
        for axis, name in zip(axes[1:], names, strict=True):
            axis.imshow(row.maps[name].numpy(), cmap="jet", vmin=0, vmax=1)
            axis.set_title(name, fontsize=8)
        for axis in axes:
            if bool(row.truth.any()) and not bool(row.truth.all()):
                axis.contour(row.truth.float().numpy(), levels=[0.5], colors="white", linewidths=0.6)
            axis.set_axis_off()
    return figure


def write_probability_panel(rows: Sequence[ProbabilityRow], path: Path, *, class_name: str) -> Path:
    """The panel as a PNG."""
    picture = BytesIO()
    probability_figure(rows, class_name=class_name).savefig(picture, dpi=110, format="png")
    write_atomically(path, lambda file: file.write(picture.getvalue()))
    return path
