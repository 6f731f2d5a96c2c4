"""A student as an ONNX file: opset pinned, sizes dynamic where the architecture allows it, classes in the metadata.

Source: torch.onnx's exporter over torch.export. An architecture whose traced graph holds for one size only (pyramid
pooling) is found out by running it at another, and is then traced at one size, which the metadata names.
Cost: seconds; the file is the weights and a few kilobytes.
"""

import io
import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.errors import ConfigurationError
from foglight.export.deployed import Deployed, example

OPSET: Final = 20
INPUT: Final = "image"
OUTPUT: Final = "logits"
# Where a graph for any size must agree with the network to be believed.
TOLERANCE: Final = 2e-4

Runner = Callable[[Float[Tensor, "b 3 H W"]], Float[Tensor, "b k *grid"]]


@final
@dataclass(frozen=True)
class OnnxFile:
    """What was written.

    Attributes:
        path: of the file.
        dynamic: whether it takes images of any size; otherwise of `size` alone.
        size: height and width of the traced image.
    """

    path: Path
    dynamic: bool
    size: tuple[int, int]


def export_onnx(
    deployed: Deployed, path: Path, *, size: tuple[int, int], metadata: Mapping[str, Any], dynamic: bool = True
) -> OnnxFile:
    """Write the file, whole or not at all.

    Args:
        deployed: the student.
        path: of the file.
        size: height and width to trace with.
        metadata: plain JSON values that the file carries.
        dynamic: try for any size first.

    Raises:
        ConfigurationError: if onnx and onnxscript are not installed, or the architecture cannot be traced.
    """
    require_export_extra()
    if dynamic:
        content = _traced(deployed, size, {**metadata, "sizes": "any"}, dynamic=True)
        if content is not None and _holds_at_another_size(deployed, content, size):
            write_atomically(path, lambda file: file.write(content))
            return OnnxFile(path, True, size)
    fixed = _traced(deployed, size, {**metadata, "sizes": list(size)}, dynamic=False)
    if fixed is None:
        raise ConfigurationError(
            f"{path.name}: the network cannot be traced into an ONNX graph",
            remedy="export it with `--to safetensors`, or give the architecture without data-dependent branches",
        )
    write_atomically(path, lambda file: file.write(fixed))
    return OnnxFile(path, False, size)


def onnx_runner(content: Path | bytes, *, threads: int = 1) -> Runner:
    """A function that runs the file with ONNX Runtime on the CPU."""
    require_export_extra()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    source = content if isinstance(content, bytes) else str(content)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(session.run([OUTPUT], {INPUT: image.numpy()})[0]))

    return run


def require_export_extra() -> None:
    """Say how to get what is missing.

    Raises:
        ConfigurationError: if onnx, onnxscript or onnxruntime is missing.
    """
    import importlib.util

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"exporting to ONNX needs {', '.join(missing)}", remedy='pip install "foglight[export]"'
        )


def _traced(deployed: Deployed, size: tuple[int, int], metadata: Mapping[str, Any], *, dynamic: bool) -> bytes | None:
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    try:
        # The exporter reports to the terminal, in pages, what a caller learns from its result.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                deployed,
                (example(size, images=2 if dynamic else 1),),
                dynamo=True,
                dynamic_shapes=(axes,) if dynamic else None,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError):
        return None
    if program is None:
        return None
    proto = program.model_proto
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    serialised: bytes = proto.SerializeToString()
    return serialised


def _holds_at_another_size(deployed: Deployed, content: bytes, size: tuple[int, int]) -> bool:
    other = example((size[0] + 33, size[1] + 70), images=1)
    try:
        found = onnx_runner(content)(other)
    except Exception:  # ONNX Runtime's errors share no base class
        return False
    with torch.no_grad():
        expected: Tensor = deployed(other)
    return found.shape == expected.shape and bool(
        (found - expected).abs().max() < TOLERANCE * (1 + expected.abs().max())
    )
