"""What a recipe may say: typed, closed models; an unknown key is an error.

This file stands on the ground floor: it imports nothing of foglight and nothing heavy, so that `foglight --help` is quick.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Schedule(Section):
    """A term's weight over progress p in [0, 1].

    constant: value. warm-up: value * min(p / end, 1). decay: value * max(1 - p / end, 0). until: value while p < end.
    """

    kind: Literal["constant", "warm-up", "decay", "until"] = "constant"
    value: float = 1.0
    end: Annotated[float, Field(gt=0, le=1)] = 1.0


Source = Literal["mc_dropout", "entropy", "max_prob", "margin", "teacher_gap", "teacher_mc"]
Granularity = Literal["logit", "pixel", "class", "image", "position"]


class PixelWeightConfig(Section):
    """FOTF's weight w = (1 + m*sigma)^kappa and its kin, laid over one per-pixel loss."""

    source: Source = "mc_dropout"
    granularity: Granularity = "pixel"
    form: Literal["power", "exp"] = "power"
    kappa: NonNegative = 5.0
    m: NonNegative = 1.0
    max_weight: Positive | None = None
    mean_one: bool = False
    start_step: Annotated[int, Field(ge=0)] = 0
    estimator: Literal["closed_form", "replay", "full"] | None = None
    passes: Annotated[int, Field(ge=1)] = 5
    rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    ddof: Literal[0, 1] = 0
    batch_norm: Literal["batch", "running", "update"] = "batch"
    stream: Literal["own", "shared"] = "own"
    grid: Literal["head", "label"] = "head"
    scope: Literal["all", "last_dropout"] = "all"
    temperature: Positive = 1.0
    match_passes: Annotated[int, Field(ge=2)] | None = None


class LossConfig(Section):
    """One method in a recipe. `options` are the keyword arguments of its class."""

    name: str
    weight: float | Schedule | dict[str, float | Schedule] = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    pixel_weight: PixelWeightConfig | None = None


class ModelConfig(Section):
    """A network: a registry name, a run folder, a student.safetensors, or module:package.mod:build."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    pretrained: bool = False
    normalisation: Literal["imagenet", "none"] | dict[Literal["mean", "std"], tuple[float, float, float]] | None = None
    align_corners: bool | None = None


class AugmentConfig(Section):
    """Joint augmentation of image, label and extra channels."""

    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    flip: Fraction = 0.5
    colour_jitter: NonNegative = 0.0


class DataConfig(Section):
    """Which images, which part of them, and how they are batched."""

    name: str = "fogtown"
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    split: str | None = None
    size: tuple[int, int] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 8
    workers: Annotated[int, Field(ge=0)] = 0
    cache: Literal["memory", "none"] = "memory"
    augment: AugmentConfig = AugmentConfig()
    unlabeled: str | None = None
    unlabeled_fraction: Fraction = 0.5


class OptimConfig(Section):
    """The student's optimiser and its schedule, which is scaled to the budget."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.02
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 1e-4
    head_lr_multiple: Positive = 1.0
    schedule: Literal["poly", "cosine"] = "poly"
    power: Positive = 0.9
    warmup: Fraction = 0.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    clip: Positive | None = None


class BudgetConfig(Section):
    """How long a run is: exactly one of student updates, images seen, or seconds of training."""

    steps: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    seconds: Positive | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "BudgetConfig":
        given = [name for name in ("steps", "samples", "seconds") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of steps, samples, seconds; got {', '.join(given) or 'none'}")
        return self


class EngineConfig(Section):
    """Devices, precision, and how often things happen."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    nodes: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["float32", "bf16"] = "float32"
    fast: bool = False
    log_every: Annotated[int, Field(ge=1)] = 20
    evaluate_every: Annotated[int, Field(ge=1)] | None = None
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Annotated[int, Field(ge=1)] | None = None
    tensorboard: bool = True


class RunConfig(Section):
    """One run, complete: what `config.yaml` of a run folder holds."""

    seed: int = 0
    student: ModelConfig
    teacher: ModelConfig | None = None
    data: DataConfig = DataConfig()
    method: str | None = None
    losses: tuple[LossConfig, ...] = (LossConfig(name="cross_entropy"),)
    optim: OptimConfig = OptimConfig()
    budget: BudgetConfig = BudgetConfig(steps=1000)
    engine: EngineConfig = EngineConfig()
    preflight: bool = True
    allow: tuple[str, ...] = ()
