"""Losses for a loop of one's own: `Distiller` builds them once it has seen both networks."""

from collections.abc import Mapping
from typing import Any

from foglight.config.build import build_specs
from foglight.config.presets import expand
from foglight.config.schema import DataConfig, LossConfig, ModelConfig, PixelWeightConfig, RunConfig, Schedule
from foglight.engine.terms import LossSpec

ANY_STUDENT = "given in Python"


def loss(
    name: str,
    *,
    weight: float | Schedule | dict[str, float | Schedule] = 1.0,
    options: Mapping[str, Any] | None = None,
    pixel_weight: PixelWeightConfig | None = None,
    seed: int = 0,
) -> LossSpec:
    """One loss for `Distiller`, by its registry name; `options` are the keyword arguments of its class."""
    config = LossConfig(name=name, weight=weight, options=dict(options or {}), pixel_weight=pixel_weight)
    return build_specs((config,), seed=seed, train=None)[0]


def method(name: str, *, data: str = "fogtown", student: str = ANY_STUDENT, seed: int = 0) -> list[LossSpec]:
    """The losses of a method preset for `Distiller`, with the constants published for that data set and student."""
    config = RunConfig(student=ModelConfig(name=student), data=DataConfig(name=data), method=name)
    return build_specs(expand(config).losses, seed=seed, train=None)
