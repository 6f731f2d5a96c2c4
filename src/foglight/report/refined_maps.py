"""A panel of raw beside refined features: what attention singles out, in the student and in the teacher.

A map is the mean over channels of |F|, of one image; every map has its own scale, dark to bright.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.engine.distiller import Distiller
from foglight.losses.refinement import Refinement, RefinesFeatures
from foglight.types import Batch

FILE = "refined_maps.png"


def strength(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "h w"]:
    """Mean absolute value over channels of the first image.

    >>> strength(torch.tensor([[[[1.0]], [[-3.0]]]]))
    tensor([[2.]])
    """
    return feature[0].detach().float().abs().mean(0).cpu()


def refined_maps_figure(image: Float[Tensor, "3 H W"], refinements: Sequence[tuple[Refinement, Refinement]]) -> Figure:
    """One row per tap: the image, the student raw and refined, the teacher raw and refined."""
    figure = Figure(figsize=(12.5, 2.2 * len(refinements)), layout="constrained")
    rows = figure.subplots(len(refinements), 5, squeeze=False)
    for axes, (student, teacher) in zip(rows, refinements, strict=True):
        maps = {
            f"student {student.tap}": student.raw,
            f"student {student.tap}, refined": student.refined,
            f"teacher {teacher.tap}": teacher.raw,
            f"teacher {teacher.tap}, refined": teacher.refined,
        }
        axes[0].imshow(image.permute(1, 2, 0).cpu().numpy())
        axes[0].set_title("image", fontsize=8)
        for axis, (title, feature) in zip(axes[1:], maps.items(), strict=True):
            axis.imshow(strength(feature).numpy(), cmap="viridis")
            axis.set_title(title, fontsize=8)
        for axis in axes:
            axis.set_axis_off()
    return figure


@torch.no_grad()
def write_refined_maps(distiller: Distiller, batch: Batch, folder: Path) -> Path | None:
    """The panel of the first image, for the first loss that refines features; None where no loss does."""
    losses = [loss for loss in distiller.terms.built if isinstance(loss, RefinesFeatures)]
    if not losses:
        return None
    was_training = distiller.training
    distiller.eval()
    try:
        student, teacher = distiller.outputs(batch)
        if teacher is None:
            return None
        refinements = losses[0].refinements(student.promote(), teacher.promote())
    finally:
        distiller.train(was_training)
    picture = BytesIO()
    refined_maps_figure(batch.image[0], refinements).savefig(picture, dpi=100, format="png")
    path = folder / FILE
    write_atomically(path, lambda file: file.write(picture.getvalue()))
    return path
