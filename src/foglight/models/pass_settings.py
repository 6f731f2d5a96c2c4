"""What differs between a training forward and a stochastic pass; every setting is put back, whatever happens.

Dropouts on at their own or another rate, stochastic depth off, BatchNorm statistics untouched, a random stream of its
own. Nothing is copied: a setting is an attribute of a module, so entering and leaving cost microseconds.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

from foglight.models.dry_run import find_dropout
from foglight.types import BatchNormMode, RandomStream, derive_seed

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# timm, transformers and torchvision each have a class of their own for stochastic depth.
_STOCHASTIC_DEPTH: Final = ("DropPath", "StochasticDepth")


@contextmanager
def dropouts_active(
    module: nn.Module, active: Collection[str], inactive: Collection[str], rate: float | None
) -> Generator[None]:
    """Some dropouts on, at `rate` where given, and others off, in whatever mode the network is."""
    on = [find_dropout(module, name) for name in active]
    off = [find_dropout(module, name) for name in inactive]
    before = [(dropout, dropout.training, dropout.p) for dropout in (*on, *off)]
    try:
        for dropout in off:
            dropout.training = False
        for dropout in on:
            dropout.training = True
            dropout.p = dropout.p if rate is None else rate
        yield
    finally:
        for dropout, training, p in before:
            dropout.training, dropout.p = training, p


def stochastic_depths(module: nn.Module) -> list[nn.Module]:
    """The stochastic-depth modules that are on."""
    return [part for part in module.modules() if part.training and type(part).__name__.endswith(_STOCHASTIC_DEPTH)]


def training_batch_norms(module: nn.Module) -> list[nn.Module]:
    """The BatchNorms that use, and would update with, the batch's statistics."""
    return [part for part in module.modules() if part.training and isinstance(part, _BATCH_NORMS)]


@contextmanager
def in_eval(parts: Collection[nn.Module]) -> Generator[None]:
    """These modules, and not their children, in eval mode."""
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part in parts:
            part.training = True


@contextmanager
def batch_norms(module: nn.Module, mode: BatchNormMode) -> Generator[None]:
    """How BatchNorms that are in train mode behave; one in eval, as in a frozen teacher, keeps its running statistics.

    Args:
        module: the network.
        mode: `batch` takes the batch's statistics and leaves the running ones bitwise alone, `running` takes the
            running ones, `update` is the plain train mode.
    """
    norms = [part for part in module.modules() if isinstance(part, _BATCH_NORMS) and part.training]
    tracking = [norm for norm in norms if norm.track_running_stats]
    try:
        for norm in norms:
            norm.training = mode != "running"
        for norm in tracking:
            norm.track_running_stats = mode != "batch"
        yield
    finally:
        for norm in norms:
            norm.training = True
        for norm in tracking:
            norm.track_running_stats = True


@contextmanager
def random_stream(stream: RandomStream, *, seed: int, device: torch.device) -> Generator[None]:
    """Draw from a stream that is a pure function of `seed`, or go on with the one of the training pass."""
    if stream == "shared":
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "mc_dropout"))
        yield
