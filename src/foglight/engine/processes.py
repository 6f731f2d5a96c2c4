"""Several processes that train one student: who they are, and what they must agree on.

Every process runs the whole program. The first one decides and writes; the others follow, so that a collective call is
made by all or by none. Images are shared out, never repeated: by position in training, by frame in evaluation.
"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar, final

import torch
import torch.distributed as dist
from torch import Tensor

from foglight.config.schema import EngineConfig
from foglight.engine.lightning_trainer import join_processes
from foglight.errors import ConfigurationError

Value = TypeVar("Value")
# What torchrun sets in every process that it starts.
TORCHRUN: Final = "TORCHELASTIC_RUN_ID"
# How long the others wait while the leader works alone, such as on a teacher's adaptation.
PATIENCE: Final = timedelta(days=1)


@final
@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        rank: of this process; 0 leads.
        count: of all.
        control: the group for small objects, on the CPU whatever the devices are; None for one process.

    >>> Processes().agreed(lambda: 3)
    3
    """

    rank: int = 0
    count: int = 1
    control: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def agreed(self, decide: Callable[[], Value]) -> Value:
        """What the leader decides, in every process; where it fails, the others end without a word."""
        if self.count == 1:
            return decide()
        said: list[Any] = [None, True]
        if self.leads:
            try:
                said[0] = decide()
            except BaseException:
                dist.broadcast_object_list([None, False], group=self.control)
                raise
        dist.broadcast_object_list(said, group=self.control)
        if not said[1]:
            raise SystemExit(2)
        value: Value = said[0]
        return value

    def any(self, flag: bool) -> bool:
        """Whether it is so in at least one process."""
        if self.count == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.control)
        return bool(flags)

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The mean of every figure over the processes."""
        if self.count == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64)
        dist.all_reduce(values, group=self.control)
        return dict(zip(figures, (values / self.count).tolist(), strict=True))

    def leaders(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The leader's tensors, everywhere: statistics of batch norm differ between processes."""
        if self.count == 1:
            return state
        copies = {name: values.detach().cpu().contiguous().clone() for name, values in state.items()}
        for values in copies.values():
            dist.broadcast(values, 0, group=self.control)
        return copies


@contextmanager
def joined(engine: EngineConfig) -> Generator[Processes]:
    """Inside, this process is one of `devices * nodes`; where nobody has started the others yet, they are started.

    Raises:
        ConfigurationError: if torchrun started another number of processes.
    """
    count = engine.devices * engine.nodes
    started = int(os.environ.get("WORLD_SIZE", "1")) if TORCHRUN in os.environ else count
    if started != count:
        raise ConfigurationError(
            f"engine.devices * engine.nodes is {count}, torchrun started {started} processes",
            remedy="pass `--devices` and `--nodes` as torchrun's --nproc-per-node and --nnodes",
        )
    if count == 1:
        yield Processes()
        return
    join_processes(engine)
    yield Processes(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo", timeout=PATIENCE))
    # Not after an error: the others may be waiting in a collective call, and whoever started us ends them.
    dist.destroy_process_group()
