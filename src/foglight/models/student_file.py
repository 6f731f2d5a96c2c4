"""A student as two files that need nothing else: `student.safetensors` and `student.json`.

The first holds the architecture's state dict; the second says how to build it, how it normalises and resizes, what its
classes are called and where its weights come from, with the first's sha256. Written atomically, the second last, so
that a pair whose sums agree is whole.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save as to_safetensors
from torch import nn

from foglight.atomic import write_atomically, write_json
from foglight.errors import CheckpointError
from foglight.models.adapters.own_module import OwnModule
from foglight.models.adapters.sources import rebuild
from foglight.models.network import BuilderRecord, Colour, Network
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.weights import load_strictly, read_weights

WEIGHTS: Final = "student.safetensors"
DESCRIPTION: Final = "student.json"
FORMAT: Final = 1
_NEEDED: Final = ("name", "builder", "num_classes", "normalisation", "align_corners", "weights", "sha256")


def save_student(network: Network, path: str | Path, *, metadata: Mapping[str, Any]) -> Path:
    """Write both files; returns the path of the weights.

    Args:
        network: whose weights and description are kept.
        path: a folder, or the `.safetensors` file itself.
        metadata: class_names, palette, and anything else worth knowing; plain JSON values.

    Raises:
        OSError: from the file system; the pair that was there before is then still whole, or its sums disagree.
    """
    weights = student_paths(Path(path))[0]
    state = {key: value.detach().cpu().clone().contiguous() for key, value in network.module.state_dict().items()}
    content = to_safetensors(state)
    mean, std = network.normalisation
    builder = network.builder
    description = {
        "class_names": None,
        "palette": None,
        "calibration": None,
        **metadata,
        "format": FORMAT,
        "name": network.name,
        "builder": None if builder is None else {"name": builder.name, "options": dict(builder.options)},
        "num_classes": network.num_classes,
        "normalisation": {"mean": list(mean), "std": list(std)},
        "align_corners": network.align_corners,
        "weights": network.weights_source,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(weights, lambda file: file.write(content))
    write_json(weights.with_suffix(".json"), description)
    return weights


def load_student(path: str | Path, *, module: nn.Module | None = None) -> Network:
    """The student in eval mode, ready for images in [0, 1].

    Args:
        path: the run folder, the `.safetensors` file or the `.json` file.
        module: the architecture, for a student that was given as an object and so cannot be built by name.

    Raises:
        CheckpointError: if a file is missing or damaged, the two do not belong together, or the weights do not fit.
    """
    weights = student_paths(Path(path))[0]
    description = read_metadata(path)
    found = read_weights(weights)
    if found.sha256 != description["sha256"]:
        raise CheckpointError(
            f"{weights} is not the file that {weights.with_suffix('.json').name} describes (another sha256)",
            remedy="take both from the same run, or save the student again",
        )
    architecture = _build(description, weights) if module is None else _wrap(module)
    architecture.align_corners = description["align_corners"]
    load_strictly(architecture, found.state, source=str(weights))
    builder = description["builder"]
    num_classes = description["num_classes"]
    network = Network(
        architecture,
        num_classes=num_classes,
        mean=_colour(description["normalisation"]["mean"]),
        std=_colour(description["normalisation"]["std"]),
        name=description["name"],
        builder=None if builder is None else BuilderRecord(builder["name"], builder["options"], num_classes),
        weights_source=description["weights"],
        class_names=tuple(description["class_names"] or ()),
        extra_kinds=tuple(description.get("extra_kinds") or ()),
    )
    return network.eval()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `student.json` says, class names and palette among it.

    Raises:
        CheckpointError: if there is no such file, or it is not one of ours.
    """
    described = student_paths(Path(path))[1]
    try:
        description = json.loads(described.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{described}: {error.strerror}",
            remedy="give a finished run's folder, with student.json beside the weights",
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{described}: not JSON ({error})", remedy="save the student again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(
            f"{described}: expected a student file of format {FORMAT}", remedy="save it again with this version"
        )
    missing = [key for key in _NEEDED if key not in description]
    if missing:
        raise CheckpointError(f"{described}: {', '.join(missing)} missing", remedy="save the student again")
    return description


def update_metadata(path: str | Path, changes: Mapping[str, Any]) -> Path:
    """Replace entries of `student.json`; the weights are not touched. Returns its path.

    Raises:
        CheckpointError: if there is no such file, or it is not one of ours.
    """
    description = read_metadata(path)
    described = student_paths(Path(path))[1]
    write_json(described, {**description, **changes})
    return described


def is_student(path: Path) -> bool:
    """Whether a path names a student: its folder or one of its two files."""
    return (
        path.suffix == ".safetensors" or path.name == DESCRIPTION or (path.is_dir() and (path / DESCRIPTION).exists())
    )


def student_paths(path: Path) -> tuple[Path, Path]:
    """Where the weights and their description lie, of a run folder or of either file."""
    weights = path.with_suffix(".safetensors") if path.suffix in (".safetensors", ".json") else path / WEIGHTS
    return weights, weights.with_suffix(".json")


def _build(description: Mapping[str, Any], weights: Path) -> SegmentationModule:
    builder = description["builder"]
    if builder is None:
        raise CheckpointError(
            f"{weights}: its architecture {description['name']} was given as an object, not by name",
            remedy="pass it again, load_student(path, module=...), or train with module:package.mod:build",
        )
    name, options, num_classes = builder["name"], builder["options"], description["num_classes"]
    return rebuild(name, num_classes=num_classes, options=options)


def _wrap(module: nn.Module) -> SegmentationModule:
    return module if isinstance(module, SegmentationModule) else OwnModule(module)


def _colour(values: list[float]) -> Colour:
    red, green, blue = values
    return (red, green, blue)
