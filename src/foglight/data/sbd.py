"""SBD's masks as they are published: one MATLAB file per frame, GTcls.Segmentation, 0..20, without a border class.

Source: Hariharan et al., ICCV 2011; benchmark.tgz, folder benchmark_RELEASE/dataset.
Cost: scipy reads a file in a few milliseconds; a set that is cached in memory pays once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
import torch

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.folder import Frame
from foglight.data.images import RawMask, read_image, read_mask, require_same_size
from foglight.data.labels import LabelTable
from foglight.data.matlab import read_matlab
from foglight.data.sample import Sample
from foglight.errors import DataError

SBD_FOLDER: Final = "benchmark_RELEASE/dataset"


def read_sbd_mask(path: Path) -> RawMask:
    """The class mask of one of SBD's files.

    Raises:
        DataError: if the file is missing, damaged, or holds no class mask.
        ConfigurationError: if scipy is not installed.
    """
    content = read_matlab(path)
    try:
        values = np.asarray(content["GTcls"]["Segmentation"][0, 0]).astype(np.int32)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: no field GTcls.Segmentation", remedy="use the files of SBD's cls/ folder, unchanged"
        ) from error
    return RawMask(torch.from_numpy(values), colour=False)


@final
class SbdDataset(SegmentationDataset):
    """VOC images with masks that are PNG or SBD's MATLAB files.

    Args:
        frames: what there is.
        table: what mask values mean.
        info: what the data set is.
    """

    def __init__(self, frames: Sequence[Frame], *, table: LabelTable, info: DataInfo) -> None:
        super().__init__(info, ids=tuple(frame.id for frame in frames), groups=tuple(frame.group for frame in frames))
        self.frames = tuple(frames)
        self.table = table

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        image = read_image(frame.image)
        mask = read_sbd_mask(frame.mask) if frame.mask.suffix == ".mat" else read_mask(frame.mask)
        require_same_size(frame.image, image, frame.mask, mask.values)
        return Sample(frame.id, image, self.table.apply(mask, frame.mask))
