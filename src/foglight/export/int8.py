"""A student with 8-bit weights and activations, by ONNX Runtime's static quantisation.

    q = clamp(round(x / s) + o, -128, 127),   x' = s (q - o)

s and o are fitted per channel of a weight (o = 0), and per tensor of an activation to the range that it took on images
of the training part. Source: Jacob et al. 2018; onnxruntime.quantization, quantise-dequantise nodes.
Cost: one forward per image; the file is about a quarter of the float one.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

from torch import Tensor

from foglight.atomic import write_atomically
from foglight.errors import ConfigurationError, UserError
from foglight.export.onnx_file import INPUT, require_export_extra


def quantise(source: Path, path: Path, images: Iterable[Tensor]) -> None:
    """Write an int8 file beside a float one, whole or not at all.

    Args:
        source: the float ONNX file.
        path: of the int8 file.
        images: "b 3 H W", as the float file takes them; what activations are fitted to.

    Raises:
        ConfigurationError: if ONNX Runtime cannot quantise the graph.
    """
    require_export_extra()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with TemporaryDirectory() as folder:
            prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(quantised),
                _reader(images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # What only moves or normalises numbers stays in float: the image itself, the last resize.
                op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            )
            content = quantised.read_bytes()
    except UserError:
        raise
    except Exception as error:  # the quantiser's errors share no base class
        raise ConfigurationError(
            f"{path.name}: ONNX Runtime cannot quantise the network ({error})", remedy="export it with `--to onnx`"
        ) from error
    finally:
        root.setLevel(level)
    write_atomically(path, lambda file: file.write(content))


def _reader(images: Iterable[Tensor]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    @final
    class Reader(CalibrationDataReader):
        """One batch after another."""

        def __init__(self) -> None:
            self.batches: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, Any] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    return Reader()
