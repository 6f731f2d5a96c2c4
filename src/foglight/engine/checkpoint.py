"""What a run needs to go on as if it had never stopped, in one file.

The order of data, augmentation, dropout and draws are pure functions of (seed, step), so a checkpoint holds state:
the student, the losses' parameters and queues, the optimisers, averaged weights, the step and the random state.
The teacher is named by its hash and never stored.
"""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from foglight.atomic import write_atomically
from foglight.errors import CheckpointError

FORMAT: Final = 1
Checkpoint = dict[str, Any]


def state_hash(state: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes, types and bytes of a network's state."""
    digest = hashlib.sha256()
    for name, values in sorted(state.items()):
        digest.update(f"{name}:{tuple(values.shape)}:{values.dtype};".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def network_hash(network: nn.Module) -> str:
    """The hash of a network's state."""
    return state_hash(network.state_dict())


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one before it stays intact until the new one is whole.

    Raises:
        CheckpointError: when the disk is full or the folder cannot be written.
    """
    try:
        write_atomically(path, lambda file: torch.save({"format": FORMAT, **checkpoint}, file))
    except (OSError, RuntimeError) as error:
        # torch.save reports a short write as a RuntimeError of its own archive writer.
        raise CheckpointError(
            f"{path}: the checkpoint could not be written ({error}); the previous one is intact",
            remedy="free some space or choose another `--output`, then run the same command again to resume",
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of ours.

    Raises:
        CheckpointError: for a file that is damaged or of another format.
    """
    try:
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({type(error).__name__})", remedy="delete it to start this run afresh"
        ) from error
    if checkpoint.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected checkpoint format {FORMAT}, got {checkpoint.get('format')}",
            remedy="resume with the version of foglight that wrote it, or start afresh in another `--output`",
        )
    return checkpoint
