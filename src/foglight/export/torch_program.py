"""A student as a torch.export program (`.pt2`): runs from C++ and Python without foglight's code.

Source: torch.export. Sizes are dynamic where the trace allows it, as with ONNX.
"""

import io
from pathlib import Path

import torch

from foglight.atomic import write_atomically
from foglight.errors import ConfigurationError
from foglight.export.deployed import Deployed, example


def export_program(deployed: Deployed, path: Path, *, size: tuple[int, int]) -> bool:
    """Write the file; returns whether it takes images of any size.

    Raises:
        ConfigurationError: if the architecture cannot be traced.
    """
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    for dynamic in (True, False):
        image = example(size, images=2 if dynamic else 1)
        try:
            program = torch.export.export(deployed, (image,), dynamic_shapes=(axes,) if dynamic else None)
            if dynamic:
                program.module()(example((size[0] + 33, size[1] + 70), images=1))
        except (RuntimeError, ValueError, AssertionError):
            continue
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        write_atomically(path, lambda file, content=buffer: file.write(content.getvalue()))
        return dynamic
    raise ConfigurationError(
        f"{path.name}: the network cannot be traced by torch.export",
        remedy="export it with `--to safetensors`, or give the architecture without data-dependent branches",
    )


def program_runner(path: Path) -> torch.nn.Module:
    """The program, read back."""
    return torch.export.load(path).module()
