"""A per-pixel loss under a pixel weight.

    term = sum over valid of (w * values) / denominator

The wrapped loss keeps its terms, parameters, memory and card; its denominator never sees w, and its auxiliary terms are
left alone. With kappa = 0 or sigma = 0 this is the plain loss bit for bit.
Source: FOTF, equations 3 (divergence) and 8 (cross-entropy). Cost: that of the weight (see `pixel_weight`); figures and
notes are worked out only when they are asked for.
"""

from typing import Final, final

from torch import Tensor

from foglight.config.schema import PixelWeightConfig
from foglight.losses.base import DistillationLoss, ParameterGroup, PixelLoss, ReportsStatistics, Statistics
from foglight.losses.weighting.pixel_weight import UncertaintyWeight
from foglight.losses.weighting.summary import flat_weight, observation_figures, uneven_classes
from foglight.types import Batch, ModelInfo, ModelOutput

# Weights start near one on an untrained network's even maps; a flat w is only worth a note when it stays.
STEPS_BEFORE_FLAT_NOTE: Final = 50


@final
class PixelWeighted(DistillationLoss):
    """Lays an uncertainty weight over every weighted term of a loss.

    Args:
        loss: whose terms are sums of per-pixel maps.
        settings: of the weight.
        student: what the student is.
        teacher: what the teacher is, None without one.

    Raises:
        ValueError: if the weight cannot be built for these networks.
    """

    def __init__(
        self, loss: PixelLoss, settings: PixelWeightConfig, student: ModelInfo, teacher: ModelInfo | None
    ) -> None:
        super().__init__()
        self.loss = loss
        self.card = loss.card  # pyright: ignore[reportAttributeAccessIssue]: this instance speaks for the loss it wraps
        self.weight = UncertaintyWeight(settings, student, teacher)
        self.requires = loss.requires | self.weight.source.requires
        self._forwards = 0
        self._flat: dict[str, bool] = {}
        self._said: set[str] = set()

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The wrapped loss's terms under the weight."""
        self._forwards += batch.step >= self.weight.settings.start_step
        return self.loss.weighted(student, teacher, batch, self.weight)

    def optimiser_groups(self) -> list[ParameterGroup]:
        """The wrapped loss's."""
        return self.loss.optimiser_groups()

    def statistics(self) -> Statistics:
        """Figures of sigma and w by term and each finding once, after what the wrapped loss reports itself."""
        own = self.loss.statistics() if isinstance(self.loss, ReportsStatistics) else Statistics()
        values = dict(own.values)
        notes = list(own.notes)
        for term, observation in self.weight.observed.items():
            figures = observation_figures(observation)
            values |= {f"{term}.{name}": value for name, value in figures.items()}
            self._flat[term] = self._flat.get(term, True) and flat_weight(figures)
            notes += self._notes(term, figures)
        return Statistics(values, tuple(notes))

    def _notes(self, term: str, figures: dict[str, float]) -> list[str]:
        settings = self.weight.settings
        notes: list[str] = []
        if term in self.weight.broken_divergences:
            notes.append(
                f"the weight of {term} varies inside its distributions ({settings.granularity}), so the term is no "
                "longer a divergence and may be negative; granularity pixel (by class) or class (over space) keeps it"
            )
        if self._flat[term] and self._forwards >= STEPS_BEFORE_FLAT_NOTE:
            notes.append(
                f"the weight of {term} stays within 5 % of its mean (kappa {settings.kappa}, m {settings.m}), so it "
                "only rescales the term; raise kappa or m"
            )
        if uneven_classes(figures):
            notes.append(
                f"the class means of the weight of {term} differ more than fivefold; 6 to 8 mIoU were lost when this "
                "was tried; lower kappa or m, set max_weight, or take granularity pixel"
            )
        fresh = [note for note in notes if note not in self._said]
        self._said.update(fresh)
        return fresh
