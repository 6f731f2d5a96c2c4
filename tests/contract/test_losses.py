"""Every registered loss and every toy, plain and under a pixel weight, keeps every law."""

import pytest

from foglight.config.schema import PixelWeightConfig
from foglight.losses.base import DistillationLoss, PixelLoss
from foglight.losses.registry import build_loss, loss_class, loss_names
from foglight.losses.weighting.weighted import PixelWeighted
from foglight.types import ModelInfo

from .laws import LAWS, Law
from .scene import SIZE
from .subject import Subject
from .toys import TOYS

# For a loss that cannot be built without options, or needs more image than the usual scene has.
OPTIONS: dict[str, dict[str, object]] = {
    # Two images have one distance and no angle.
    "rkd": {"points": "grid"},
    # With every term, and with the variances at work from the first step.
    "diffkd": {"autoencoder": True},
    "pad": {"warm_up": 0.0},
}
SIZES: dict[str, tuple[int, int]] = {}
# Logit and task losses also teach classification.
CLASSIFICATION = ("foglight.losses.logits.", "foglight.losses.task.")

WEIGHT = PixelWeightConfig(kappa=3.0, m=3.0, mean_one=True, max_weight=10.0)
BY_CLASS = PixelWeightConfig(granularity="class")
BY_GAP = PixelWeightConfig(source="teacher_gap", form="exp")


def registered(name: str) -> Subject:
    def construct(student: ModelInfo, teacher: ModelInfo | None) -> DistillationLoss:
        return build_loss(name, student, teacher, OPTIONS.get(name, {}))

    classification = loss_class(name).__module__.startswith(CLASSIFICATION)
    return Subject(name, construct, classification, size=SIZES.get(name, SIZE))


def under(plain: Subject, settings: PixelWeightConfig, name: str) -> Subject:
    def construct(student: ModelInfo, teacher: ModelInfo | None) -> DistillationLoss:
        loss = plain.construct(student, teacher)
        assert isinstance(loss, PixelLoss)
        return PixelWeighted(loss, settings, student, teacher)

    keeps = settings.granularity != "class"
    return Subject(f"{plain.name} {name}", construct, plain.classification, keeps, plain.size)


PLAIN = {
    **{name: (registered(name), loss_class(name)) for name in loss_names()},
    **{toy.__name__: (Subject(toy.__name__, toy), toy) for toy in TOYS},
}
WEIGHTED = [under(subject, WEIGHT, "weighted") for subject, kind in PLAIN.values() if issubclass(kind, PixelLoss)]
FOTF = [
    under(PLAIN[name][0], settings, label)
    for name in ("kd", "cross_entropy")
    for settings, label in ((BY_CLASS, "weighted by class"), (BY_GAP, "weighted by gap"))
]
SUBJECTS = [*(subject for subject, _ in PLAIN.values()), *WEIGHTED, *FOTF]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_loss_keeps_law(subject: Subject, law: Law) -> None:
    law(subject)
