"""Knowledge distillation on logits: the student's class distribution follows the teacher's at every pixel.

L = tau^2 / N * sum_i sum_c t[c, i] * (log t[c, i] - log s[c, i]),  s = softmax_c(z_S / tau), t = softmax_c(z_T / tau)

Symbols: z logits (b k h w), kl(teacher || student), tau temperature, N = b*h*w positions.
Source: Hinton, Vinyals & Dean 2015, eq. 2; per pixel as in CIRKD `losses/kd.py::CriterionKD` @ dab64db.
Published reductions behind options: the mean over elements without tau^2 (IFVD, TorchDistiller), the sum over positions
per image (torchdistill), soft cross-entropy summed over the batch per position (SKD).
Changed: log-softmax throughout; the teacher's logits are resized where the grids differ; `mask_ignored`; `proper`.
Cost: the gradient, on the student's grid (upsampled: twice, while it is handed on), and a strip of logits. With
`proper` or soft cross-entropy three maps of the logits' size.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.binary import at_least_two_classes
from foglight.functional.kl import class_kl, class_mass, soft_cross_entropy
from foglight.functional.masking import position_count, taught_positions
from foglight.functional.resize import resize
from foglight.functional.upsampled_kl import resized_class_kl_sum
from foglight.losses.base import Card, PixelLoss, PixelMap, PixelWeight
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires

Reduction = Literal["pixel_mean", "element_mean", "image_mean", "position_mean"]
Divergence = Literal["kl", "cross_entropy"]

# What the sum over all entries is divided by, from (positions that count, classes, images).
_DENOMINATORS: Final[Mapping[Reduction, Callable[[Tensor, int, int], Tensor]]] = {
    "pixel_mean": lambda positions, classes, images: positions,
    "element_mean": lambda positions, classes, images: positions * classes,
    "image_mean": lambda positions, classes, images: torch.full_like(positions, images),
    "position_mean": lambda positions, classes, images: positions / images,
}


@final
class KD(PixelLoss):
    """Pixel-wise kl(teacher || student) of the class probabilities: term `kd`.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        temperature: tau; 1 is usual for dense prediction, 4 for classification.
        reduction: mean over pixels, over pixels and classes, over images (the sum over an image grows with its grid),
            or over the positions of one image (the sum over the batch).
        divergence: soft cross-entropy adds the teacher's entropy to the value and nothing to the gradient.
        scale_gradient: multiply by tau^2, which keeps the gradient's size independent of tau.
        mask_ignored: leave out pixels whose label is ignored; unlabelled images stay in.
        grid: distil on the head's grid, or on logits upsampled to the label's (the image's without labels).
        proper: add s - t to every entry, which makes each non-negative and lets class-resolved pixel weights keep the
            teacher's distribution as the minimiser; without a pixel weight neither value nor gradient change.
    """

    card: ClassVar[Card] = Card(
        title="The student's class distribution follows the teacher's at every pixel.",
        equation="tau^2 / (b h w) * sum_i sum_c t log(t / s), s and t softmax over classes of logits / tau",
        source="Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015, eq. 2",
        implementation="winycg/CIRKD losses/kd.py::CriterionKD @ dab64db; the reductions of YukangWang/IFVD @ 950a7a5, "
        "irfanICMLL/structure_knowledge_distillation @ ce208e1 and yoshitomo-matsubara/torchdistill @ 3e4373c",
        deviations="log-softmax; the teacher's logits are resized where the grids differ; mask_ignored and proper",
        cost="a map of the student's logits' size, two if upsampled; three with proper or soft cross-entropy",
        tier="recommended",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        temperature: float = 1.0,
        reduction: Reduction = "pixel_mean",
        divergence: Divergence = "kl",
        scale_gradient: bool = True,
        mask_ignored: bool = False,
        grid: Grid = "head",
        proper: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "kd")
        expect_same_classes(student, teacher, "kd")
        expect_positive(temperature, "temperature")
        if reduction not in _DENOMINATORS:
            raise ValueError(f"expected a reduction of {', '.join(_DENOMINATORS)}, got {reduction!r}")
        if proper and divergence != "kl":
            raise ValueError(f"expected divergence 'kl' with proper, got {divergence!r}")
        self.requires = Requires(teacher=True)
        self.align_corners = (student.align_corners, teacher.align_corners)
        self.temperature = temperature
        self.reduction: Reduction = reduction
        self.divergence: Divergence = divergence
        self.scale_gradient = scale_gradient
        self.mask_ignored = mask_ignored
        self.grid: Grid = grid
        self.proper = proper

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The divergence per class and pixel."""
        ours, theirs = _at_least_two_classes(student, expect_teacher(teacher, "kd"))
        size = self._size(student, batch)
        corners = self.align_corners
        ours, theirs = (resize(ours, size, align_corners=corners[0]), resize(theirs, size, align_corners=corners[1]))
        entries = soft_cross_entropy if self.divergence == "cross_entropy" else class_kl
        values = entries(ours, theirs, temperature=self.temperature)
        if self.proper:
            values = values + class_mass(ours, theirs, temperature=self.temperature)
        if self.scale_gradient:
            values = values * self.temperature**2
        return {"kd": self._map(values, batch)}

    def weighted(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, weight: PixelWeight | None
    ) -> dict[str, Tensor]:
        """The sum of the map, in strips of which only the gradient is kept; the same code with a weight and without."""
        if self.proper or self.divergence == "cross_entropy":
            return super().weighted(student, teacher, batch, weight)
        ours, theirs = _at_least_two_classes(student, expect_teacher(teacher, "kd"))
        size = self._size(student, batch)
        # A weight asks for the shape of a map and for what counts in it, not for its entries.
        pixel_map = self._map(ours.new_zeros(()).expand(*ours.shape[:2], *size), batch)
        total = resized_class_kl_sum(
            ours,
            theirs,
            size,
            align_corners=self.align_corners,
            weight=None if weight is None else weight("kd", pixel_map, student, teacher, batch),
            valid=pixel_map.valid,
            temperature=self.temperature,
        )
        scale = self.temperature**2 if self.scale_gradient else 1.0
        return {"kd": pixel_map.share(scale * total)}

    def _map(self, values: Float[Tensor, "b k *grid"], batch: Batch) -> PixelMap:
        valid = taught_positions(values, batch, mask_ignored=self.mask_ignored)
        positions = position_count(values, valid)
        return PixelMap(values, valid, _DENOMINATORS[self.reduction](positions, values.shape[1], len(values)), "class")

    def _size(self, student: ModelOutput, batch: Batch) -> tuple[int, ...]:
        size = student.logits.shape[2:]
        if self.grid == "label" and size:
            size = batch.image.shape[2:] if batch.label is None else batch.label.shape[1:]
        return tuple(size)


def _at_least_two_classes(
    student: ModelOutput, teacher: ModelOutput
) -> tuple[Float[Tensor, "b k *grid"], Float[Tensor, "b k *teacher_grid"]]:
    return at_least_two_classes(student.logits), at_least_two_classes(teacher.logits)
