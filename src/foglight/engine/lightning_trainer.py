"""Lightning's Trainer with everything off that the engine does itself."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import lightning
from lightning.fabric.strategies import DDPStrategy as FabricDDPStrategy
from lightning.pytorch.strategies import DDPStrategy

from foglight.config.schema import EngineConfig


def join_processes(engine: EngineConfig) -> None:
    """Start the other processes where nobody has, and set up the process group; called before anything else is done.

    They run this very command; torchrun's and SLURM's environments are recognised.
    """
    with quiet_lightning():
        fabric = lightning.Fabric(
            accelerator=engine.device, devices=engine.devices, num_nodes=engine.nodes, strategy=FabricDDPStrategy()
        )
        fabric.launch()


def lightning_trainer(engine: EngineConfig, folder: Path) -> lightning.Trainer:
    """Devices, processes and precision; no logger, no checkpoints, no bar, no validation."""
    several = engine.devices * engine.nodes > 1
    return lightning.Trainer(
        accelerator=engine.device,
        devices=engine.devices,
        num_nodes=engine.nodes,
        # A warm-up or a class that a process does not see may leave a parameter without gradient there.
        # Queues and BatchNorm statistics are each process's own or gathered by their loss: nothing to broadcast.
        strategy=DDPStrategy(broadcast_buffers=False, find_unused_parameters=True) if several else "auto",
        precision="bf16-mixed" if engine.precision == "bf16" else "32-true",
        max_epochs=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextmanager
def quiet_lightning() -> Generator[None]:
    """Inside, Lightning keeps its advice on workers and loggers to itself: they are not our users' choices."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            logger.setLevel(level)
