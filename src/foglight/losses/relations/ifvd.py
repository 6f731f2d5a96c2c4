"""Intra-class feature variation: pixels lie as near to the mean of their class as they do in the teacher.

L = 1 / (b h w) * sum over labelled i of (M_S[i] - M_T[i])^2,  M[i] = cos(f[i], m[y_i]),
m[k] = sum over i with y_i = k of f[i] / (n_k + eps)

Symbols: features f (b c h w) and (b d h w), y labels on the feature's grid by nearest neighbour, m the mean of a class
in one image, n_k its positions, eps = 1e-6.
Source: Wang et al. 2020, "Intra-class feature variation distillation for semantic segmentation", eq. 1-3;
YukangWang/IFVD `utils/criterion.py::CriterionIFV` @ 950a7a5; CIRKD `losses/ifv.py` @ 2d8ad0f gives the same numbers.
Ignored positions count as zeros in the mean, as published; `exclude_ignored` divides by the labelled ones.
Changed: no loop over classes and no copy of the feature: means by a product with one-hot labels, the cosine from inner
products of means and features. A vector of zeros has no gradient (1e8 times its neighbours' as published).
Cost: 2 b k h w numbers beside the one-hot label, and 3 gradients of the feature's size on the way back.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.masking import legal_label
from foglight.functional.resize import resize_label
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.feature_pair import FeaturePair
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

# Added to the positions of a class, so that an absent class has a mean; changes no direction.
ADDED_TO_COUNT: Final = 1e-6
# The least length that a cosine divides by; shorter vectors have no direction.
SHORTEST: Final = 1e-8


def similarity_to_class_mean(
    feature: Float[Tensor, "b c *grid"], label: Int[Tensor, "b *grid"], valid: Bool[Tensor, "b *grid"], *, classes: int
) -> Float[Tensor, "b *grid"]:
    """The cosine between every vector and the mean, in its image, of the valid vectors of its class.

    Args:
        feature: any map.
        label: legal class indices.
        valid: which positions make up the means.
        classes: k.

    >>> feature = torch.tensor([[[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]]])
    >>> label, valid = torch.tensor([[0, 0, 1]]), torch.ones(1, 3, dtype=torch.bool)
    >>> similarity_to_class_mean(feature, label, valid, classes=2)
    tensor([[0.7071, 0.7071, 1.0000]])
    """
    vectors, index = feature.flatten(2), label.flatten(1).long()
    member = (index.unsqueeze(2) == torch.arange(classes, device=index.device)) & valid.flatten(1).unsqueeze(2)
    member = member.to(feature.dtype)
    means = vectors @ member / (member.sum(1, keepdim=True) + ADDED_TO_COUNT)
    inner = (means.transpose(1, 2) @ vectors).gather(1, index.unsqueeze(1)).squeeze(1)
    mean_length = torch.linalg.vector_norm(means, dim=1).gather(1, index)
    length = torch.linalg.vector_norm(vectors, dim=1)
    cosine = inner / (length.clamp_min(SHORTEST) * mean_length.clamp_min(SHORTEST))
    return torch.where(length > SHORTEST, cosine, 0.0).view_as(label)


@final
class IFVD(PixelLoss):
    """Squared difference of the similarities of pixels to the mean of their class: term `ifvd`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed; channels may differ.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        exclude_ignored: divide by the labelled positions in place of all; the published division lets images with much
            ignored ground teach less.

    Raises:
        ValueError: if a tap or the teacher is missing.
    """

    card: ClassVar[Card] = Card(
        title="Pixels lie as near to the mean of their class as they do in the teacher.",
        equation="1 / (b h w) * sum_i (cos(f_S[i], m_S[y_i]) - cos(f_T[i], m_T[y_i]))^2, m[k] the mean of class k in "
        "one image",
        source="Wang et al., Intra-class feature variation distillation for semantic segmentation, ECCV 2020, eq. 1-3",
        implementation="YukangWang/IFVD utils/criterion.py::CriterionIFV @ 950a7a5; winycg/CIRKD losses/ifv.py "
        "@ 2d8ad0f",
        deviations="a vector of zeros has no gradient; exclude_ignored",
        cost="2 b k h w numbers forward, 3 maps of the feature's size backward; no loop over classes",
        tier="recommended",
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        exclude_ignored: bool = False,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "ifvd", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        self.requires = self.pair.requires | Requires(label=True)
        # One logit tells two classes apart.
        self.classes = max(2, student.num_classes)
        self.exclude_ignored = exclude_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The squared difference per position of the feature; class-resolved weights are taken at the label."""
        ours, theirs = self.pair(student, teacher)
        label, valid = _label_on_grid(batch, ours.shape[2:])
        similarity, followed = (
            similarity_to_class_mean(feature, label, valid, classes=self.classes) for feature in (ours, theirs)
        )
        values = (similarity - followed).square().unsqueeze(1)
        positions = valid.sum().clamp(min=1) if self.exclude_ignored else torch.tensor(valid.numel())
        return {"ifvd": PixelMap(values, valid, positions.to(values), "none", label=label)}


def _label_on_grid(batch: Batch, size: Sequence[int]) -> tuple[Int[Tensor, "b *size"], Bool[Tensor, "b *size"]]:
    if batch.label is None:
        raise ValueError("expected a batch with labels for `ifvd`, got none; leave unlabelled images to another loss")
    label = torch.where(batch.valid, batch.label, batch.ignore_index)
    return legal_label(resize_label(label, size), ignore_index=batch.ignore_index)
