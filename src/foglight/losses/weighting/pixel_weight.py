r"""FOTF's pixel weight: a term counts more where the student is unsure.

    power: w = (1 + m * sigma)^kappa        exp: w = exp(kappa * m * sigma)

sigma: a source's map (see `sources`), averaged over what the granularity does not name (see `merge`), resized to the
term's grid, then put through the weight function; w has the term's shape or broadcasts to it, and carries no gradient.
A class-resolved sigma on a term with one channel is taken at the label.
Source: FOTF, equations 3 to 8; no public implementation is known.
Changed: `max_weight` caps w and `mean_one` then divides it by its mean over the term's valid pixels, so that the
learning rate keeps its meaning; both are off in the paper. kappa = 0 or sigma = 0 gives exactly one.
Cost: a resized map and one elementwise power per weighted term.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.config.schema import PixelWeightConfig
from foglight.functional.masking import at_label
from foglight.functional.resize import resize
from foglight.losses.base import PixelMap
from foglight.losses.weighting.merge import VARIES_OVER_CLASSES, VARIES_OVER_SPACE, keeps_divergence, merge
from foglight.losses.weighting.sources import build_source
from foglight.types import Batch, ModelInfo, ModelOutput

# What a source can reach: a standard deviation of two passes with ddof 1, or one. A weight that is beyond float32 there
# could turn a loss into infinity.
LARGEST_STD: Final = 0.5**0.5
LARGEST_CONFUSION: Final = 1.0


def weight_of(
    sigma: Float[Tensor, "*shape"],
    *,
    kappa: float,
    m: float,
    form: Literal["power", "exp"] = "power",
    max_weight: float | None = None,
) -> Float[Tensor, "*shape"]:
    """The weight function.

    >>> weight_of(torch.tensor([0.0, 0.5]), kappa=2.0, m=2.0)
    tensor([1., 4.])
    """
    weight = (1 + m * sigma) ** kappa if form == "power" else (kappa * m * sigma).exp()
    return weight if max_weight is None else weight.clamp_max(max_weight)


def mean_one(
    weight: Float[Tensor, "weight_b channels *weight_grid"], valid: Bool[Tensor, "b *grid"]
) -> Float[Tensor, "weight_b channels *weight_grid"]:
    """The weight over its mean at the valid pixels; unchanged where there is none.

    >>> mean_one(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([True, True, False])).flatten()
    tensor([0.5000, 1.5000, 4.5000])
    """
    counted = valid.unsqueeze(1)
    # In float64 a sum of ones is exact for any number of pixels, which keeps w = 1 exactly one.
    total = torch.where(counted, weight, 0.0).sum(dtype=torch.float64)
    count = counted.sum() * weight.shape[1]
    mean = torch.where(count > 0, total / count.clamp_min(1), 1.0)
    return (weight / mean).to(weight.dtype)


@final
@dataclass(frozen=True)
class Observation:
    """What a weight saw and gave in the last forward, without a graph.

    Attributes:
        sigma: the source's map before it was merged.
        weight: as it was laid over the term.
        valid: the pixels that count in the term.
        label: of the batch, ignored in unlabelled images; None without.
        ignore_index: of that label.
    """

    sigma: Float[Tensor, "b channels *sigma_grid"]
    weight: Float[Tensor, "..."]
    valid: Bool[Tensor, "b *grid"]
    label: Tensor | None
    ignore_index: int


@final
class UncertaintyWeight:
    """The pixel weight of one loss: source, merge, resize, weight function.

    Args:
        settings: kappa, m and everything else that a recipe may say.
        student: what the student is.
        teacher: what the teacher is, None without one.

    Raises:
        ValueError: if the source needs a teacher and there is none, if the granularity needs a source with a channel
            per class, or if the largest possible weight is not finite in float32.
    """

    def __init__(self, settings: PixelWeightConfig, student: ModelInfo, teacher: ModelInfo | None) -> None:
        self.settings = settings
        self.source = build_source(settings, teacher)
        # The map lies on the grid of the network that it was measured on.
        measured_on = teacher if teacher is not None and settings.source == "teacher_mc" else student
        self._align_corners = measured_on.align_corners
        self.class_resolved = self.source.class_resolved and settings.granularity in VARIES_OVER_CLASSES
        self.observed: dict[str, Observation] = {}
        self.broken_divergences: set[str] = set()
        if settings.granularity in ("logit", "class") and not self.source.class_resolved:
            raise ValueError(
                f"expected a source with a channel per class for granularity {settings.granularity!r}, got "
                f"{settings.source!r} with one; take granularity pixel or image, or source mc_dropout"
            )
        if settings.max_weight is None and not _finite(settings, class_resolved=self.source.class_resolved):
            raise ValueError(
                f"expected a finite weight, got kappa {settings.kappa} and m {settings.m}; lower them or set max_weight"
            )

    def __call__(
        self, term: str, pixel_map: PixelMap, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> Float[Tensor, "..."]:
        """The weight of that term; one before `start_step`.

        Raises:
            ValueError: if a class-resolved weight meets a term whose channels are not classes, or a term with one
                channel and no label to take it at.
        """
        if batch.step < self.settings.start_step:
            return pixel_map.values.new_ones(())
        with torch.no_grad():
            sigma = self.source(student, teacher, batch).detach()
            weight = self._on_map(term, merge(sigma, self.settings.granularity), pixel_map)
        if not keeps_divergence(pixel_map.distribution, self.settings.granularity, class_resolved=self.class_resolved):
            self.broken_divergences.add(term)
        label = batch.label
        if label is not None and batch.labelled is not None:
            label = torch.where(batch.valid, label, batch.ignore_index)
        self.observed[term] = Observation(sigma, weight, pixel_map.counted(), label, batch.ignore_index)
        return weight

    def _on_map(self, term: str, merged: Tensor, pixel_map: PixelMap) -> Tensor:
        grid = pixel_map.values.shape[2:]
        if self.settings.granularity in VARIES_OVER_SPACE:
            merged = resize(merged, grid, align_corners=self._align_corners)
        if self.class_resolved:
            merged = _per_class(term, merged, pixel_map)
        settings = self.settings
        weight = weight_of(
            merged.to(pixel_map.values.dtype),
            kappa=settings.kappa,
            m=settings.m,
            form=settings.form,
            max_weight=settings.max_weight,
        )
        return mean_one(weight, pixel_map.counted()) if settings.mean_one else weight


def _per_class(term: str, merged: Tensor, pixel_map: PixelMap) -> Tensor:
    """The class-resolved map as it is on class channels, at the label on one channel."""
    channels = pixel_map.values.shape[1]
    if pixel_map.label is not None and channels == 1:
        # The label may hold the ignore index, which names no class; those pixels do not count in the term.
        label = torch.where(pixel_map.counted(), pixel_map.label, 0)
        return at_label(merged.expand(len(label), -1, *label.shape[1:]), label)
    if not pixel_map.channels_are_classes or channels != merged.shape[1]:
        kind = "classes" if pixel_map.channels_are_classes else "channels that are not classes"
        raise ValueError(
            f"expected {merged.shape[1]} class channels in term {term!r} for a class-resolved pixel weight, got "
            f"{channels} {kind}; take granularity pixel or image"
        )
    return merged


def _finite(settings: PixelWeightConfig, *, class_resolved: bool) -> bool:
    sigma = torch.tensor(LARGEST_STD if class_resolved else LARGEST_CONFUSION)
    weight = weight_of(sigma, kappa=settings.kappa, m=settings.m, form=settings.form)
    return math.isfinite(weight.item())
