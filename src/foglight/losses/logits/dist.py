"""Relational distillation by correlation: of the classes at a pixel, and of the pixels in a class.

inter = 1 - mean_i rho(s[:, i], t[:, i]),  intra = 1 - mean_c rho(s[c, :], t[c, :])
L = tau^2 * (beta * inter + gamma * intra)
rho(a, b) = <a - mean a, b - mean b> / (|a - mean a| |b - mean b| + correlation.EPSILON)

Symbols: s and t softmax over classes of logits / tau (b k h w), i over all b*h*w pixels of this process's batch.
Source: Huang et al. 2022, "Knowledge distillation from a stronger teacher", section 3; hunto/DIST_KD
`segmentation/losses/dist_kd.py` @ 2418f18 (tau 1) and image_classification_sota (tau^2 on both terms).
Not a pixel loss: `intra` compares whole maps, so no pixel of it has a value of its own, and a weight on `inter` alone
would change how the two are balanced.
Changed: `mask_ignored`; `intra_scope: image` correlates within each image; no auxiliary heads, the teacher has none.
Cost: at most five maps of b*k*h*w numbers at once, the gradient included; `intra` couples the images of one process,
never those of several.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.correlation import correlation_over_classes, correlation_over_positions
from foglight.functional.masking import taught_positions
from foglight.functional.tempered import tempered
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires


def inter_class(
    student: Float[Tensor, "b k *grid"],
    teacher: Float[Tensor, "b k *grid"],
    valid: Bool[Tensor, "b *grid"] | None = None,
) -> Float[Tensor, ""]:
    """1 - the mean over pixels (all, or the valid ones) of the correlation over classes of two probability maps."""
    distance = 1 - correlation_over_classes(student, teacher)
    if valid is None:
        return distance.mean()
    return torch.where(valid, distance, 0.0).sum() / valid.sum().clamp(min=1)


def intra_class(
    student: Float[Tensor, "b k *grid"],
    teacher: Float[Tensor, "b k *grid"],
    valid: Bool[Tensor, "b *grid"] | None = None,
    *,
    per_image: bool = False,
) -> Float[Tensor, ""]:
    """1 - the mean over classes of the correlation over pixels (all, or the valid ones), of the batch or per image."""
    distance = 1 - correlation_over_positions(student, teacher, valid, per_image=per_image)
    if valid is None:
        return distance.mean()
    # Of an image (or a batch) without a valid pixel nothing is known.
    known = valid.flatten(1).any(1) if per_image else valid.any().unsqueeze(0)
    known = known.unsqueeze(1).expand_as(distance)
    return torch.where(known, distance, 0.0).sum() / known.sum().clamp(min=1)


@final
class DIST(DistillationLoss):
    """Correlation between and within classes: terms `dist_inter` and `dist_intra`.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        beta: factor of `dist_inter`.
        gamma: factor of `dist_intra`.
        temperature: tau; 1 for dense prediction and ImageNet, 4 for CIFAR.
        intra_scope: correlate over the whole batch, or within each image.
        mask_ignored: leave out pixels whose label is ignored; unlabelled images stay in.
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="The student's probabilities correlate with the teacher's, over classes and over pixels.",
        equation="tau^2 (beta (1 - mean_pixels rho over classes) + gamma (1 - mean_classes rho over pixels))",
        source="Huang et al., Knowledge distillation from a stronger teacher, NeurIPS 2022, section 3",
        implementation="hunto/DIST_KD segmentation/losses/dist_kd.py @ 2418f18; hunto/image_classification_sota",
        deviations="mask_ignored, intra_scope and temperature on maps; auxiliary heads are left alone",
        cost="at most five maps of b*k*h*w numbers at once, the gradient included; dist_intra couples the "
        "images of one process",
        tier="recommended",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
        intra_scope: Literal["batch", "image"] = "batch",
        mask_ignored: bool = False,
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "dist")
        expect_same_classes(student, teacher, "dist")
        expect_positive(temperature, "temperature")
        if intra_scope == "image" and not student.stride:
            raise ValueError("expected intra_scope 'batch' for classification, got 'image': an image is one position")
        # Over two classes every correlation is 1 or -1, and has no gradient.
        self.requires = Requires(teacher=True, classes=3)
        self.corners = corners_of(student, teacher)
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.intra_scope: Literal["batch", "image"] = intra_scope
        self.mask_ignored = mask_ignored
        self.grid: Grid = grid

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Both terms, with their factors."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "dist"), batch, corners=self.corners, grid=self.grid
        )
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        student_mass = torch.softmax(tempered(ours, self.temperature), dim=1)
        teacher_mass = torch.softmax(tempered(theirs.detach(), self.temperature), dim=1)
        scale = self.temperature**2
        per_image = self.intra_scope == "image"
        return {
            "dist_inter": scale * self.beta * inter_class(student_mass, teacher_mass, valid),
            "dist_intra": scale * self.gamma * intra_class(student_mass, teacher_mass, valid, per_image=per_image),
        }
