"""Read a weights file and load it whole or not at all, saying in plain words what differs.

safetensors, or torch files read with `weights_only=True`; a file with pickled objects can run any code when it is
opened and is refused unless trusted. Wrappings that training scripts add (`{"state_dict": ...}`, a `module.` before
every key) are taken off, and the report says so.
"""

import hashlib
import logging
import pickle
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from foglight.errors import CheckpointError

_WRAPPINGS: Final = ("state_dict", "model_state_dict", "model")
_PREFIXES: Final = ("module.", "_orig_mod.")
_SHOWN: Final = 3
_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Attributes:
        path: where it lies.
        sha256: of its bytes.
        state: key to tensor, unwrapped.
        notes: what was taken off, one sentence each.
    """

    path: Path
    sha256: str
    state: Mapping[str, Tensor]
    notes: tuple[str, ...]

    @property
    def source(self) -> str:
        """For reports."""
        return f"{self.path.name} (sha256 {self.sha256[:12]})"


def read_weights(path: Path, *, trust: bool = False) -> WeightsFile:
    """The tensors of a file.

    Args:
        path: `.safetensors`, or anything that `torch.load` reads.
        trust: whether pickled objects may be opened, which runs code from the file.

    Raises:
        CheckpointError: if the file is missing, damaged, holds pickled objects or no tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}", remedy="check the path of the weights") from error
    if path.suffix == ".safetensors":
        try:
            found: object = load_safetensors(content)
        except SafetensorError as error:
            raise _damaged(path, error) from error
    else:
        found = _torch_load(path, trust=trust)
    state, notes = unwrap(found)
    if not state:
        raise CheckpointError(f"{path}: no tensors in it", remedy="give a file with a state dict")
    for note in notes:
        _log.info("%s: %s", path, note)
    return WeightsFile(path, hashlib.sha256(content).hexdigest(), state, notes)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Every key finds its place, or nothing changes.

    Raises:
        CheckpointError: naming the first keys that are missing, unexpected or of another shape, and how many.
    """
    expected = module.state_dict()
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    mismatched = [
        f"{key} {tuple(value.shape)} for {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if missing or unexpected or mismatched:
        parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        difference = "; ".join(_listed(kind, keys) for kind, keys in parts if keys)
        raise CheckpointError(
            f"{source} does not fit {type(module).__name__} ({len(expected)} keys): {difference}",
            remedy="build the architecture, with the options and number of classes, that the file was saved from",
        )
    module.load_state_dict(dict(state), strict=True)


def unwrap(found: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A state dict out of what a file holds, and what was taken off on the way.

    >>> unwrap({"state_dict": {"module.weight": torch.ones(1)}})
    ({'weight': tensor([1.])}, ("taken from 'state_dict'", "'module.' taken off every key"))
    """
    notes: list[str] = []
    if isinstance(found, nn.Module):
        notes.append("a whole pickled module; only its weights are used")
        found = found.state_dict()
    content: Mapping[str, Any] = cast(Mapping[str, Any], found) if isinstance(found, Mapping) else {}
    wrapping = next((name for name in _WRAPPINGS if isinstance(content.get(name), Mapping)), None)
    if wrapping is not None:
        notes.append(f"taken from {wrapping!r}")
        content = content[wrapping]
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            notes.append(f"{prefix!r} taken off every key")
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state, tuple(notes)


def _torch_load(path: Path, *, trust: bool) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a plain weights file; it holds pickled objects, which can run any code, or is damaged",
            remedy="convert it to safetensors, or pass --trust-checkpoint if you trust whoever made it",
        ) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        ImportError,
        zipfile.BadZipFile,
    ) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(f"{path}: cannot be read, probably cut short: {reason}", remedy="copy or download it again")


def _listed(kind: str, keys: Collection[str]) -> str:
    shown = ", ".join(list(keys)[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    return f"{len(keys)} {kind} ({shown})"
