"""Which uncertainty a run weighted by, how well it points at errors, and what it looks like.

Logits are resized to the label's grid before the source reads them. Sigma is estimated at the grid that the run's
recipe names and, from the head's, resized as the weight itself is. BatchNorm keeps its running statistics in the
stochastic passes, for the network is evaluated, not trained. A class-resolved source is averaged over classes, as
granularity `pixel` does. Cost: one more pass over the report part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.config.build import whole_images
from foglight.config.schema import PixelWeightConfig, RunConfig
from foglight.config.schema import Source as SourceName
from foglight.functional.resize import resize
from foglight.losses.weighting.sources import Source, build_source
from foglight.metrics.segmentation import MAX_PROB, SegmentationMetrics
from foglight.models.network import Network
from foglight.report.numbers import percent, short
from foglight.report.pictures import (
    ERROR_COLOURS,
    NOT_SCORED,
    WRONG,
    errors,
    heat_picture,
    index_picture,
    share,
    thumbnail,
)
from foglight.report.records import Strip, Uncertainty
from foglight.reporting.scene import Scene
from foglight.types import Batch, ModelOutput, derive_seed

ENTROPY: Final = "entropy"
WORDS: Final[Mapping[SourceName, str]] = {
    "mc_dropout": "sigma, the standard deviation of the student's softmax under its own dropout, mean over classes",
    "teacher_mc": "the teacher's sigma: the standard deviation of its softmax under dropout, mean over classes",
    "entropy": "the entropy of the student's softmax over log k",
    "max_prob": "1 - max p of the student's softmax, at the run's own temperature",
    "margin": "1 minus the lead of the student's best class over its second best",
    "teacher_gap": "1 - exp(-kl(teacher || student))",
}


@final
@dataclass(frozen=True)
class Look:
    """One uncertainty of one student, ready to be asked.

    Attributes:
        student: whose errors it should point at.
        teacher: None where the source reads none.
        source: of the map.
    """

    student: Network
    teacher: Network | None
    source: Source

    def __call__(self, batch: Batch, *, step: int) -> tuple[Float[Tensor, "b k H W"], Float[Tensor, "b H W"]]:
        """Logits and uncertainty at the label's grid."""
        student = self._said(self.student, batch, step)
        requires = self.source.requires
        teacher = self._said(self.teacher, batch, step) if requires.teacher and self.teacher is not None else None
        values = self.source(student, teacher, batch).mean(dim=1, keepdim=True)
        # As the weight does it: the map lies on the grid of the network that it was measured on.
        measured_on = self.teacher if requires.teacher_sigma and self.teacher is not None else self.student
        resized = resize(values, student.logits.shape[2:], align_corners=measured_on.align_corners)
        return student.logits, resized[:, 0]

    def _said(self, network: Network, batch: Batch, step: int) -> ModelOutput:
        size = (batch.image.shape[2], batch.image.shape[3])
        requires = self.source.requires
        sigma = requires.student_sigma if network is self.student else requires.teacher_sigma
        seed = derive_seed(0, "report", step)
        output = network(batch.image, batch.extra, sigma=sigma, label_size=size, seed=seed)
        return ModelOutput(resize(output.logits, size, align_corners=network.align_corners), sigma=output.sigma)


def weight_source(config: RunConfig) -> PixelWeightConfig | None:
    """The pixel weight of the first loss that has one; None where nothing is weighted."""
    return next((loss.pixel_weight for loss in config.losses if loss.pixel_weight is not None), None)


def look_at(student: Network, teacher: Network | None, settings: PixelWeightConfig) -> Look:
    """The source as a run used it.

    Raises:
        ValueError: if it reads a teacher and there is none.
    """
    here = settings.model_copy(update={"batch_norm": "running", "stream": "own"})
    return Look(student, teacher, build_source(here, None if teacher is None else teacher.info()))


@torch.no_grad()
def rank_errors(
    title: str, look: Look, scene: Scene, settings: PixelWeightConfig, *, used: bool, pictures: bool
) -> Uncertainty:
    """AUROC and AURC over the whole report part, and the maps of the chosen frames.

    Args:
        title: of the arm.
        look: at the source.
        scene: the data.
        settings: of the pixel weight.
        used: whether the run weighted by this source, or it is only shown.
        pictures: whether to draw maps.
    """
    look.student.eval()
    names = tuple(dict.fromkeys([settings.source, ENTROPY]))
    entropy = look_at(look.student, None, PixelWeightConfig(source=ENTROPY)).source
    info = scene.info
    metrics = SegmentationMetrics(
        info.num_classes,
        class_names=info.class_names,
        ignore_index=info.ignore_index,
        boundary=False,
        score_names=names,
    ).to(scene.device)
    for step, batch in enumerate(whole_images(scene.parts["report"], scene.config)):
        batch = batch.to(scene.device)
        logits, values = look(batch, step=step)
        if batch.label is None:
            raise ValueError("expected labelled batches to score, got one without labels")
        beside = entropy(ModelOutput(logits), None, batch)[:, 0]
        metrics.update(logits, batch.label, {ENTROPY: beside, settings.source: values})
    scores = metrics.compute()
    strips, brightest = _strips(look, scene) if pictures else ((), 0.0)
    order = (settings.source, *(name for name in (ENTROPY, MAX_PROB) if name != settings.source))
    return Uncertainty(
        title,
        settings.source,
        _description(settings, used=used, brightest=brightest),
        {name: scores.error_auroc[name] for name in order},
        {name: scores.aurc[name] for name in order},
        strips,
    )


def _description(settings: PixelWeightConfig, *, used: bool, brightest: float) -> str:
    role = "No run weighted by an uncertainty; shown is"
    if used:
        role = f"This run's weight varied over the {settings.granularity} and came from"
    return f"{role} {WORDS[settings.source]}. Bright is {short(brightest)}, the largest value shown."


def _strips(look: Look, scene: Scene) -> tuple[tuple[Strip, ...], float]:
    maps: list[Tensor] = []
    wrong: list[Tensor] = []
    for step, index in enumerate(scene.chosen):
        batch = scene.batch(index)
        logits, values = look(batch, step=step)
        if batch.label is None:
            raise ValueError("expected a labelled frame, got one without labels")
        maps.append(thumbnail(values[0].float().cpu()))
        predicted = logits[0].max(0).indices
        wrong.append(errors(batch.label[0], predicted, ignore_index=scene.info.ignore_index).cpu())
    brightest = max((float(values.max()) for values in maps), default=0.0)
    strips: list[Strip] = []
    for index, values, mistaken in zip(scene.chosen, maps, wrong, strict=True):
        name = scene.parts["report"].ids[index]
        caption = f"{percent(share(mistaken, WRONG, ignored=NOT_SCORED))} % wrong"
        heat = heat_picture(name, values, brightest=brightest, caption="uncertainty")
        strips.append(Strip(name, (heat, index_picture("errors", mistaken, ERROR_COLOURS, caption=caption))))
    return tuple(strips), brightest
