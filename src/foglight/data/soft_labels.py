"""Soft labels as a file: the most probable classes of every pixel and their probabilities.

    `classes`        uint8 "n H W"     by falling probability
    `probabilities`  float16 "n H W"   relative error below 2^-11
    `num_classes`    k

in one compressed `.npz`. What the n classes leave of 1 is, on reading, shared equally among the k - n others: of all
completions the one with the largest entropy. With n = k nothing but the rounding is lost.

Cost: 3 n bytes per pixel before compression, where all probabilities take 4 k.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Float16, UInt8
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.errors import DataError

MOST_CLASSES: Final = 256


@final
@dataclass(frozen=True)
class SoftLabels:
    """What is kept of an image's probabilities.

    Attributes:
        classes: by falling probability.
        probabilities: theirs.
        num_classes: k.
    """

    classes: UInt8[Tensor, "n H W"]
    probabilities: Float16[Tensor, "n H W"]
    num_classes: int

    def dense(self) -> Float[Tensor, "k H W"]:
        """Every class's probability; they sum to 1.

        >>> classes = torch.tensor([[[2]]], dtype=torch.uint8)
        >>> SoftLabels(classes, torch.tensor([[[0.5]]], dtype=torch.float16), 3).dense().flatten().tolist()
        [0.25, 0.25, 0.5]
        """
        known = self.probabilities.float()
        # Rounded to half precision they may pass 1 by a little.
        known = known / known.sum(0, keepdim=True).clamp_min(1)
        others = self.num_classes - len(known)
        rest = (1 - known.sum(0, keepdim=True)).clamp_min(0) / max(others, 1)
        filled = rest.expand(self.num_classes, -1, -1).scatter(0, self.classes.long(), known)
        return filled / filled.sum(0, keepdim=True)


def write_soft_labels(path: Path, soft: SoftLabels) -> None:
    """One `.npz`, atomically."""
    write_atomically(
        path,
        lambda file: np.savez_compressed(
            file,
            classes=soft.classes.numpy(),
            probabilities=soft.probabilities.numpy(),
            num_classes=np.array(soft.num_classes),
        ),
    )


def read_soft_labels(path: Path) -> SoftLabels:
    """What `write_soft_labels` wrote.

    Raises:
        DataError: if the file is missing, damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            classes, probabilities = content["classes"], content["probabilities"]
            num_classes = int(content["num_classes"])
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(
            f"{path}: cannot be read as soft labels", remedy="write it again with `foglight predict --soft`"
        ) from error
    if classes.dtype != np.uint8 or probabilities.dtype != np.float16 or classes.shape != probabilities.shape:
        raise DataError(
            f"{path}: expected classes (uint8) and probabilities (float16) of one shape, got {classes.dtype} "
            f"{classes.shape} and {probabilities.dtype} {probabilities.shape}",
            remedy="write it again with `foglight predict --soft`",
        )
    return SoftLabels(torch.from_numpy(classes), torch.from_numpy(probabilities), num_classes)
