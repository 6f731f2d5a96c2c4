"""Where reference cases lie and how one is read."""

import json
import os
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from parity.protocol import Case

OWN_COPY = Path(__file__).parent.parent / "reference"


def folder() -> Path:
    """The folder that FOGLIGHT_ORACLES names, or the project's own copy of what it needs."""
    return Path(os.environ.get("FOGLIGHT_ORACLES") or OWN_COPY)


def case_names() -> list[str]:
    """Every case below the folder, as a path without suffix."""
    root = folder()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.npz"))


def load(name: str) -> Case:
    """Floats become float64, integers int64, whatever they are stored as."""
    with np.load(folder() / f"{name}.npz", allow_pickle=False) as stored:
        meta = json.loads(str(stored["meta"][()])) if "meta" in stored else {}
        arrays = {key: _tensor(stored[key]) for key in stored.files if stored[key].dtype.kind in "fiub"}
    return Case(name, re.sub(r"_\d+$", "", Path(name).name), arrays, meta)


def _tensor(values: np.ndarray) -> Tensor:
    wide = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}[values.dtype.kind]
    return torch.from_numpy(values.astype(wide))
