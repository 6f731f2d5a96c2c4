"""Losses with a discriminator, which is shared."""

from typing import Any, Final

from torch import Tensor
from torch.nn import functional as F

from foglight.losses.adversarial.skd_holistic import enlarged
from foglight.losses.discriminator import SMALLEST
from foglight.types import Batch, ModelOutput

FORMS: Final = ("skd_holistic",)


def skd_holistic(loss: Any, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    size = enlarged(student.logits.shape[2:], smallest=SMALLEST)
    logits = F.interpolate(student.logits, size, mode="bilinear", align_corners=False)
    return -loss.discriminator(logits).mean()
