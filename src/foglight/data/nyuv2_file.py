"""The labelled file of NYU Depth v2: HDF5 with images, depths, labels and scenes, columns before rows.

Datasets: images (n, 3, 640, 480) bytes, depths (n, 640, 480) metres, labels (n, 640, 480) raw indices, scenes (1, n)
references to the characters of a name. The file is opened for every access, so that worker processes share nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from foglight.data.matlab import needs_extra
from foglight.errors import DataError

MEND = "the file is damaged or not the published one: `foglight fetch-data nyuv2` says how to get it"


@final
@dataclass(frozen=True)
class NyuFrame:
    """One frame.

    Attributes:
        id: by its number, counted from 1 as in the published lists.
        index: counted from 0.
        scene: its name; the published split keeps scenes apart.
    """

    id: str
    index: int
    scene: str


@final
@dataclass(frozen=True)
class NyuArrays:
    """What the file holds of one frame.

    Attributes:
        image: red, green, blue bytes.
        label: raw labels.
        depth: metres; None where it was not asked for.
    """

    image: UInt8[np.ndarray, "3 H W"]
    label: UInt16[np.ndarray, "H W"]
    depth: Float32[np.ndarray, "H W"] | None


@final
@dataclass(frozen=True)
class NyuFile:
    """The labelled file.

    Attributes:
        path: of the file.
    """

    path: Path

    def frames(self) -> list[NyuFrame]:
        """Every frame in order.

        Raises:
            DataError: if the file is missing, damaged or of another kind.
            ConfigurationError: if h5py is not installed.
        """
        try:
            with self._open() as file:
                count = len(file["images"])
                if not count == len(file["labels"]) == len(file["depths"]):
                    raise DataError(f"{self.path}: images, labels and depths differ in number", remedy=MEND)
                names = [_text(file, reference) for reference in file["scenes"][0]] if "scenes" in file else []
        except (KeyError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        scenes = names if len(names) == count else [f"{number + 1:04d}" for number in range(count)]
        return [NyuFrame(f"{number + 1:04d}", number, scene) for number, scene in enumerate(scenes)]

    def read(self, frame: NyuFrame, *, with_depth: bool) -> NyuArrays:
        """The arrays of a frame, rows before columns.

        Raises:
            DataError: if they cannot be read, differ in size, or the depth is nowhere measured.
        """
        try:
            with self._open() as file:
                image = np.ascontiguousarray(file["images"][frame.index].transpose(0, 2, 1))
                label = np.ascontiguousarray(file["labels"][frame.index].T)
                depth = np.ascontiguousarray(file["depths"][frame.index].T, np.float32) if with_depth else None
        except (KeyError, OSError, ValueError, IndexError) as error:
            raise self._damaged(error) from error
        for name, values in (("label", label), ("depth", depth)):
            if values is not None and values.shape != image.shape[1:]:
                height, width = values.shape
                raise DataError(
                    f"{self.path}, {frame.id}: the {name} is {width}x{height} pixels, its image "
                    f"{image.shape[2]}x{image.shape[1]}",
                    remedy=MEND,
                )
        if depth is not None and not (np.isfinite(depth) & (depth > 0)).any():
            raise DataError(
                f"{self.path}, {frame.id}: all {depth.size} depths are 0, which means not measured",
                remedy="get the file again, or set data.options.extra=none",
            )
        return NyuArrays(image, label.astype(np.uint16), depth)

    def _open(self) -> Any:
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file", remedy="`foglight fetch-data nyuv2` says how to get it")
        try:
            import h5py  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise needs_extra(self.path, "h5py") from error
        return h5py.File(self.path, "r")

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path}: cannot be read ({' '.join(str(error).split())})", remedy=MEND)


def _text(file: Any, reference: Any) -> str:
    return "".join(chr(int(character)) for character in np.asarray(file[reference]).ravel())
