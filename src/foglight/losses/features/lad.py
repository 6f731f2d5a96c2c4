"""Angular distillation, reconstructed from its description: the student's feature vectors follow the teacher's angles.

L = 1/N * sum_i (1 - cos(P f_S[i], f_T[i])) = 1/(2N) * sum_i | P f_S[i] / |P f_S[i]| - f_T[i] / |f_T[i]| |^2

Symbols: f features (b c h w), i one of the N = b*h*w positions, P the student's 1x1 connector, |.| over channels.
Source: after Liu et al. 2024, "Rethinking knowledge distillation with raw features for semantic segmentation" (LAD). No
code is public and the abstract alone is known to us: it says that the angle of raw features matters more than their
magnitude and is what should be transferred. This loss is LAD-like; no parity is claimed. The paper adds `kd`.
Variants behind `axis`: one angle per channel, over the positions of an image; or one per image, over both.
Cost: three maps of the teacher's channels; a 1x1 connector without bias where channels differ.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, final

import torch
from torch import Tensor

from foglight.functional.direction import direction_distance
from foglight.functional.masking import position_count, taught_positions
from foglight.functional.resize import resize
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.connectors import connector
from foglight.losses.expect import expect_teacher
from foglight.losses.paired_taps import paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

Axis = Literal["channel", "spatial", "both"]

# Axes of a map along which one vector lies; a vector has no grid, so only the first axes it has count.
_AXES: Final[Mapping[Axis, tuple[int, ...]]] = {"channel": (1,), "spatial": (2, 3), "both": (1, 2, 3)}


@final
class LAD(PixelLoss):
    """One minus the cosine between feature vectors: term `lad`; reconstructed from the description of LAD.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        axis: one vector per position over channels, per channel over positions, or per image over both.
        mask_ignored: leave out positions whose label is ignored.
    """

    card: ClassVar[Card] = Card(
        title="LAD-like: the student's feature vectors follow the angles of the teacher's.",
        equation="1/N sum_i (1 - cos(P f_S[i], f_T[i]))",
        source="reconstructed from the description of Liu et al., Rethinking knowledge distillation with raw features "
        "for semantic segmentation, WACV 2024; no public code, no reference case",
        deviations="everything: distance, tap and connector are our reading; add `kd`, as the paper does",
        cost="three maps of b*c_T*h*w; a 1x1 connector where channels differ",
        tier="for comparison",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "layer4",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        axis: Axis = "channel",
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "lad")
        (self.pair,) = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps([self.pair])
        self.connector = connector(student.tap(self.pair.student).channels, teacher.tap(self.pair.teacher).channels)
        self.axis: Axis = axis
        self.mask_ignored = mask_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """One distance per vector."""
        ours: Tensor = self.connector(student.features[self.pair.student])
        theirs = expect_teacher(teacher, "lad").features[self.pair.teacher]
        theirs = resize(theirs, ours.shape[2:], align_corners=False)
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        if self.axis != "channel" and valid is not None:
            inside = valid.unsqueeze(1)
            ours, theirs = torch.where(inside, ours, 0.0), torch.where(inside, theirs, 0.0)
            valid = valid.reshape(len(valid), -1).any(1)
        axes = tuple(axis for axis in _AXES[self.axis] if axis < ours.ndim)
        values = direction_distance(ours, theirs, axes) / 2
        if self.axis != "channel":
            values = values.reshape(*values.shape[:2])
        denominator = values.shape[1] * position_count(values, valid)
        return {"lad": PixelMap(values, valid, denominator, "none", channels_are_classes=False)}
