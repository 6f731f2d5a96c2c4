"""Who teaches whom in `fotf_step.py`, and the steps that are timed: each is a whole update as a run makes it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from typing import Any, Final

import torch
from paired_rounds import Step

from foglight.config.build import build_specs
from foglight.config.presets import expand
from foglight.config.schema import DataConfig, EngineConfig, ModelConfig, OptimConfig, RunConfig
from foglight.engine.distiller import Distiller
from foglight.engine.fast import fast_teacher
from foglight.engine.measure import trial_step
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.types import Batch

CLASSES: Final = 19
KD: Final = "vanilla KD"
STUDENT: Final = "student's step on labels alone"
TEACHER: Final = "teacher's forward"
FAST: Final = "--fast"
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Sigma:
    """One way to sigma, in place of the preset's.

    Attributes:
        name: of the variant.
        settings: of the preset's pixel weights, replaced.
        bar: the largest ratio to vanilla KD that is promised; None where nothing is.
        paper: FOTF's Table 6, on a GPU.
    """

    name: str
    settings: Mapping[str, Any]
    bar: float | None = None
    paper: float | None = None


@dataclass(frozen=True)
class Pair:
    """A student, its teacher, and the variants; bars hold for this pair alone."""

    student: str
    teacher: str
    sigmas: tuple[Sigma, ...]
    promised: bool = True

    @property
    def name(self) -> str:
        """As in papers."""
        return f"{self.student} <- {self.teacher}"

    @property
    def rare(self) -> frozenset[str]:
        """The variants that run in some rounds only."""
        return frozenset(sigma.name for sigma in self.sigmas if sigma.settings["estimator"] == "full")


def _sampled(estimator: str, passes: int, bar: float | None = None, paper: float | None = None) -> Sigma:
    name = "whole passes" if estimator == "full" else estimator
    return Sigma(f"{name}, T = {passes}", {"estimator": estimator, "passes": passes}, bar, paper)


FULL: Final = (_sampled("full", 5, paper=1.53), _sampled("full", 20, paper=3.13))
CLOSED: Final = {"estimator": "closed_form"}
LAST: Final = Sigma("closed form, last_dropout (of two)", {**CLOSED, "scope": "last_dropout"}, bar=1.02)
PAIRS: Final = (
    Pair("deeplabv3_r18", "deeplabv3_r101", (LAST, _sampled("replay", 5, bar=1.10), *FULL)),
    Pair(
        "pspnet_r18",
        "deeplabv3_r101",
        (Sigma("closed form", CLOSED, bar=1.02), _sampled("replay", 5, 1.03), _sampled("replay", 20, 1.06), *FULL),
    ),
    Pair("lite_s", "lite_m", (Sigma("closed form", CLOSED), _sampled("replay", 5), *FULL), promised=False),
)


def update(
    pair: Pair,
    batch: Batch,
    student: Network,
    teacher: Network | None,
    *,
    method: str,
    sigma: Mapping[str, Any] = NOTHING,
    half: bool = False,
) -> Step:
    """A whole training step of the library, with the sigma settings laid over those of the preset."""
    config = expand(
        RunConfig(
            student=ModelConfig(name=pair.student),
            data=DataConfig(name="cityscapes"),
            method=method,
            # Hundreds of steps on one random batch must not leave the range of ordinary numbers.
            optim=OptimConfig(lr=1e-4),
            engine=EngineConfig(precision="bf16" if half else "float32"),
        )
    )
    losses = tuple(
        loss.model_copy(update={"pixel_weight": loss.pixel_weight and loss.pixel_weight.model_copy(update=sigma)})
        for loss in config.losses
    )
    distiller = Distiller(student, teacher, build_specs(losses, seed=0, train=None)).train()
    return trial_step(distiller, repeat(batch), config)


def steps(pair: Pair, teacher: Network, size: tuple[int, int], *, fast: bool) -> dict[str, Step]:
    """What is timed, by variant; all take steps on one student, so that only the work differs."""
    torch.manual_seed(0)
    student = load_network(pair.student, num_classes=CLASSES)
    batch = Batch(torch.rand(2, 3, *size), label=torch.randint(CLASSES, (2, *size)))

    @torch.no_grad()
    def inference() -> object:
        return teacher(batch.image)

    arms: dict[str, Step] = {
        KD: update(pair, batch, student, teacher, method="kd"),
        STUDENT: update(pair, batch, student, None, method="ce"),
        TEACHER: inference,
    }
    for sigma in pair.sigmas:
        arms[sigma.name] = update(pair, batch, student, teacher, method="fotf", sigma=sigma.settings)
    if fast:
        last = deepcopy(student).to(memory_format=torch.channels_last)
        arms[FAST] = update(pair, batch, last, fast_teacher(teacher, half=True), method="kd", half=True)
    return arms


def prepare(name: str) -> Network:
    """A teacher with random weights and the statistics that belong to them, so that nothing overflows."""
    torch.manual_seed(1)
    teacher = load_network(name, num_classes=CLASSES)
    with torch.no_grad():
        for _ in range(3):
            teacher.train()(torch.rand(2, 3, 64, 128))
    return teacher.eval()
