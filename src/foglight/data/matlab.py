"""MATLAB files up to version 7, read by scipy only when one is met; newer ones are HDF5 and read by h5py."""

from pathlib import Path
from typing import Any

from foglight.errors import ConfigurationError, DataError


def read_matlab(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file.

    Raises:
        DataError: if the file is missing or damaged.
        ConfigurationError: if scipy is not installed.
    """
    try:
        from scipy.io import loadmat  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise needs_extra(path, "scipy") from error
    if not path.is_file():
        raise DataError(f"{path}: no such file", remedy="complete the copy of the data set; check data.root (--root)")
    try:
        return dict(loadmat(str(path)))
    except Exception as error:  # scipy raises whatever its parser stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: cannot be read as a MATLAB file ({reason})", remedy="the file is damaged: get it again"
        ) from error


def needs_extra(path: Path, package: str) -> ConfigurationError:
    """What to say where an optional package is missing."""
    return ConfigurationError(
        f"{path} is read by {package}, which is not installed", remedy='run `pip install "foglight[datasets]"`'
    )
