r"""Scores of parts of the image: near and far, in clear air and in fog.

A region is a map of booleans; its scores are those of its pixels alone. With depth Z (metres) and extinction
coefficient beta (1/metre), what reaches the camera of a surface is t = exp(-beta Z):

    near: 0 < Z <= NEAR    far: NEAR < Z < LIMIT    clear: t >= 1/2    foggy: t < 1/2    (0 < Z < LIMIT in all four)

A pixel without a measurement (0), and the sky at LIMIT or beyond, is in no region: it would fill the far one with what
needs no depth. Fog that is the same for every distance is told apart from distance by the four crossings.
Source: t is Koschmieder's law (1924); the limits are ours. Cost: a metric per region (see `segmentation`), without
rims, whose neighbours another region may hold.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foglight.types import IGNORE_INDEX, ChannelKind

NEAR: Final = 20.0  # metres
LIMIT: Final = 200.0  # metres
CLEAR: Final = 0.5  # share of a surface's light that arrives


def metres(extra: Float[Tensor, "b x H W"], kinds: Sequence[ChannelKind]) -> Float[Tensor, "b H W"]:
    """Depth, from a channel of depth or of inverse depth; 0 where nothing was measured.

    Disparity is refused: without focal length and baseline it is no distance.

    >>> metres(torch.tensor([[[[0.5, 0.0]]]]), ["inverse_depth"])
    tensor([[[2., 0.]]])

    Raises:
        ValueError: if no channel is one of the two.
    """
    if "depth" in kinds:
        return extra[:, list(kinds).index("depth")]
    if "inverse_depth" not in kinds:
        raise ValueError(f"expected a channel of depth or inverse_depth, got {', '.join(kinds) or 'none named'}")
    inverse = extra[:, list(kinds).index("inverse_depth")]
    measured = inverse > 0
    return torch.where(measured, 1 / torch.where(measured, inverse, 1.0), 0.0)


def depth_regions(
    depth: Float[Tensor, "b H W"], *, near: float = NEAR, limit: float = LIMIT
) -> dict[str, Bool[Tensor, "b H W"]]:
    """Near and far.

    >>> depth_regions(torch.tensor([[[0.0, 5.0, 50.0, 200.0]]]))["far"]
    tensor([[[False, False,  True, False]]])

    Raises:
        ValueError: if the limits are not in order.
    """
    if not 0 < near < limit:
        raise ValueError(f"expected 0 < near < limit, got {near} and {limit}")
    return {"near": (depth > 0) & (depth <= near), "far": (depth > near) & (depth < limit)}


def fog_regions(
    depth: Float[Tensor, "b H W"], beta: Float[Tensor, " b"], *, clear: float = CLEAR, limit: float = LIMIT
) -> dict[str, Bool[Tensor, "b H W"]]:
    """Clear and foggy, by how much of a surface's light arrives.

    Args:
        depth: in metres, 0 where unknown.
        beta: extinction coefficient of every image's fog in 1/metre.
        clear: the smallest share of light that counts as clear.
        limit: depth in metres from which nothing counts.
    """
    measured = (depth > 0) & (depth < limit)
    seen = torch.exp(-beta.to(depth).view(-1, 1, 1) * depth) >= clear
    return {"clear": measured & seen, "foggy": measured & ~seen}


def crossed(
    first: Mapping[str, Bool[Tensor, "b H W"]], second: Mapping[str, Bool[Tensor, "b H W"]]
) -> dict[str, Bool[Tensor, "b H W"]]:
    """Every region of the one within every region of the other: `near, clear` and its kin."""
    return {f"{a}, {b}": one & other for a, one in first.items() for b, other in second.items()}


@final
class RegionMetrics:
    """Scores by region, batch by batch.

    Args:
        names: of the regions.
        class_names: by class index.
        ignore_index: the label where nothing is said.
        device: of what is counted.

    >>> metrics = RegionMetrics(("left", "right"), class_names=("a", "b"))
    >>> logits, left = torch.tensor([[[[2.0, 2.0]], [[0.0, 0.0]]]]), torch.tensor([[[True, False]]])
    >>> metrics.update(logits, torch.tensor([[[0, 1]]]), {"left": left, "right": ~left})
    >>> {name: scores.pixel_accuracy for name, scores in metrics.compute().items()}
    {'left': 1.0, 'right': 0.0}
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        class_names: Sequence[str],
        ignore_index: int = IGNORE_INDEX,
        device: torch.device | str = "cpu",
    ) -> None:
        self.ignore_index = ignore_index
        self.metrics = {
            name: SegmentationMetrics(
                len(class_names), class_names=class_names, ignore_index=ignore_index, boundary=False
            ).to(device)
            for name in names
        }

    def update(
        self,
        logits: Float[Tensor, "b k H W"],
        label: Int[Tensor, "b H W"],
        regions: Mapping[str, Bool[Tensor, "b H W"]],
    ) -> None:
        """Count one batch; regions may overlap.

        Raises:
            ValueError: if other regions than the named ones are given, or shapes do not fit.
        """
        if set(regions) != set(self.metrics):
            raise ValueError(f"expected the regions {tuple(self.metrics)}, got {tuple(regions)}")
        for name, metric in self.metrics.items():
            if regions[name].shape != label.shape:
                raise ValueError(f"expected {name} of shape {tuple(label.shape)}, got {tuple(regions[name].shape)}")
            metric.update(logits, torch.where(regions[name], label, self.ignore_index))

    def compute(self) -> dict[str, SegmentationScores]:
        """All scores so far."""
        return {name: metric.compute() for name, metric in self.metrics.items()}
