"""A run that takes a second or two, for every test that needs one."""

from foglight.config.schema import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    EngineConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)

# Three updates on the command line, of networks that have learned nothing.
STEPS = ["--steps", "3", "--device", "cpu", "--allow", "weak-teacher", "--allow", "no-gradient"]
SMALL = [f"data.{key}" for key in ("batch_size=2", "augment.crop=[32,32]", "augment.scale=[1.0,1.0]")]
QUICK = [*STEPS, *(word for one in (*SMALL, "engine.tensorboard=false") for word in ("--set", one))]


def tiny_config(**changes: object) -> RunConfig:
    """Six updates of `lite_s` on a handful of fogtown frames."""
    config = RunConfig(
        student=ModelConfig(name="lite_s"),
        data=DataConfig(
            name="fogtown",
            size=(32, 64),
            options={"frames": 6, "towns": 2},
            batch_size=2,
            augment=AugmentConfig(crop=(32, 32), scale=(0.9, 1.2), flip=0.5),
        ),
        losses=(LossConfig(name="cross_entropy"),),
        optim=OptimConfig(name="adamw", lr=1e-3),
        budget=BudgetConfig(steps=6),
        engine=EngineConfig(device="cpu", threads=1, checkpoint_every=2, log_every=1, tensorboard=False),
    )
    return config.model_copy(update=changes)


class Stop(Exception):
    """Ends a run in the middle, as a crash does."""


class StopAt:
    """A listener that raises at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def begin(self, title: str, *, total: int, done: int) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self) -> None: ...
    def advance(self, done: int, figures: object) -> None:
        if done == self.step:
            raise Stop
