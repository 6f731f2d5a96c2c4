"""SBD's masks as they are published: one MATLAB file per frame, GTcls.Segmentation, 0..20, without a border class.

Source: Hariharan et al., ICCV 2011; benchmark.tgz, folder benchmark_RELEASE/dataset.
Cost: scipy reads a file in a few milliseconds; a set that is cached in memory pays once.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from foglight.data.images import RawMask, read_mask
from foglight.data.matlab import read_matlab
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


def read_png_or_sbd_mask(path: Path) -> RawMask:
    """A class mask of VOC (PNG) or of SBD (MATLAB), by the file's ending."""
    return read_sbd_mask(path) if path.suffix == ".mat" else read_mask(path)
