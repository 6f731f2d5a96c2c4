"""What is asked of an export, and what it found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, final, get_args

from foglight.export.measure import Parity

Kind = Literal["onnx", "torch-export", "safetensors", "int8"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SUFFIX: Final[Mapping[Kind, str]] = {
    "onnx": ".onnx",
    "torch-export": ".pt2",
    "safetensors": ".safetensors",
    "int8": ".int8.onnx",
}


@final
@dataclass(frozen=True)
class ExportSettings:
    """What is baked in, and how it is measured.

    Attributes:
        normalise: the file takes images in [0, 1].
        resize: the file gives logits on the image's grid.
        temperature: divide the logits by the temperature that `foglight calibrate` stored.
        size: height and width to trace with; None takes those of the first measured image.
        images: at most how many labelled images are measured.
        recover: steps of distillation in simulated int8 before the int8 file is written.
        teacher: who teaches then; None takes the run's own.
    """

    normalise: bool = True
    resize: bool = True
    temperature: bool = False
    size: tuple[int, int] | None = None
    images: int = 50
    recover: int = 0
    teacher: str | None = None

    @property
    def baked(self) -> tuple[str, ...]:
        """What the file does by itself, in words."""
        chosen = {"normalisation": self.normalise, "resize": self.resize, "temperature": self.temperature}
        return tuple(name for name, is_baked in chosen.items() if is_baked)


@final
@dataclass(frozen=True)
class ExportReport:
    """What was written and measured.

    Attributes:
        path: of the file.
        kind: of it.
        dynamic: whether it takes images of any size.
        size: that it was traced with.
        baked: what it does by itself.
        parities: the network first, then the file, then the ONNX and int8 forms beside it.
        before_recovery: the int8 file before distillation; None where nothing was recovered.
        measured_on: in words.
    """

    path: Path
    kind: Kind
    dynamic: bool
    size: tuple[int, int]
    baked: tuple[str, ...]
    parities: tuple[Parity, ...]
    before_recovery: Parity | None
    measured_on: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        before = None if self.before_recovery is None else self.before_recovery.to_dict()
        return {
            **vars(self),
            "path": str(self.path),
            "parities": [one.to_dict() for one in self.parities],
            "before_recovery": before,
        }
