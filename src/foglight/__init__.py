"""foglight: distil a segmentation teacher into a small, calibrated student; tell the truth about whether it helped.

    import foglight as fl

    result = fl.distill(teacher="runs/teacher", student="lite_s", data="fogtown", method="kd", budget="2000 steps")
    logits = fl.load_student(result.folder)(images).logits

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foglight.api import ReportOptions, calibrate, distill, evaluate, predict, train, write_report
    from foglight.config.schema import DataConfig, PixelWeightConfig, RunConfig
    from foglight.engine.distiller import Distiller
    from foglight.errors import UserError
    from foglight.models.student_file import load_student
    from foglight.specs import loss, method
    from foglight.types import Batch, ModelInfo, ModelOutput

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "DataConfig",
    "Distiller",
    "ModelInfo",
    "ModelOutput",
    "PixelWeightConfig",
    "ReportOptions",
    "RunConfig",
    "UserError",
    "calibrate",
    "distill",
    "evaluate",
    "load_student",
    "loss",
    "method",
    "predict",
    "train",
    "write_report",
]

_HOMES = {
    "foglight.api": ("ReportOptions", "calibrate", "distill", "evaluate", "predict", "train", "write_report"),
    "foglight.config.schema": ("DataConfig", "PixelWeightConfig", "RunConfig"),
    "foglight.engine.distiller": ("Distiller",),
    "foglight.errors": ("UserError",),
    "foglight.models.student_file": ("load_student",),
    "foglight.specs": ("loss", "method"),
    "foglight.types": ("Batch", "ModelInfo", "ModelOutput"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'foglight' has no attribute {name!r}")
