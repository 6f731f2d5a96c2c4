"""What a recipe may say: typed, closed models; an unknown key is an error.

This file stands on the ground floor: it imports nothing of foglight and nothing heavy, so that `--help` is quick.
Scalars are strict: the text "0.1" is not a number, 1 is not true, and 1.5 is not a count.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator

Number = Annotated[float, Strict()]
Integer = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[Integer, Field(ge=1)]
Size = tuple[Count, Count]
Colour = tuple[Number, Number, Number]


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(Section):
    """A part of a recipe that may be written as its name alone: `student: lite_s` is `student: {name: lite_s}`."""

    name: str

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, content: Any) -> Any:
        return {"name": content} if isinstance(content, str) else content


class Schedule(Section):
    """A term's weight over progress p in [0, 1].

    constant: value. warm-up: value * min(p / end, 1). decay: value * max(1 - p / end, 0). until: value while p < end.
    """

    kind: Literal["constant", "warm-up", "decay", "until"] = "constant"
    value: Number = 1.0
    end: Annotated[Number, Field(gt=0, le=1)] = 1.0


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
    mean_one: Flag = False
    start_step: Annotated[Integer, Field(ge=0)] = 0
    estimator: Literal["closed_form", "replay", "full"] | None = None
    passes: Count = 5
    rate: Annotated[Number, Field(ge=0, lt=1)] | None = None
    ddof: Literal[0, 1] = 0
    batch_norm: Literal["batch", "running", "update"] = "batch"
    stream: Literal["own", "shared"] = "own"
    grid: Literal["head", "label"] = "head"
    scope: Literal["all", "last_dropout"] = "all"
    temperature: Positive = 1.0
    match_passes: Annotated[Integer, Field(ge=2)] | None = None


def _kind_of_weight(content: Any) -> str:
    """A mapping with a key of `Schedule` is one; any other mapping gives a weight by term."""
    if isinstance(content, Schedule) or (isinstance(content, dict) and set(Schedule.model_fields) & set(content)):
        return "schedule"
    return "by term" if isinstance(content, dict) else "number"


TermWeight = Annotated[
    Annotated[Number, Tag("number")] | Annotated[Schedule, Tag("schedule")], Discriminator(_kind_of_weight)
]
Weight = Annotated[
    Annotated[Number, Tag("number")]
    | Annotated[Schedule, Tag("schedule")]
    | Annotated[dict[str, TermWeight], Tag("by term")],
    Discriminator(_kind_of_weight),
]


class LossConfig(Named):
    """One method in a recipe.

    `options` are the keyword arguments of its class. One is resolved later, from the training labels:
    `class_weights: inverse-sqrt` of `cross_entropy` becomes one weight per class, 1/sqrt(share of pixels).
    `weight` is a number, a schedule, or either of them by term.
    """

    weight: Weight = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    pixel_weight: PixelWeightConfig | None = None


class FinetuneConfig(Section):
    """Supervised steps on the training part before a teacher teaches, of its head (the classifier's part) or of all."""

    steps: Count
    scope: Literal["head", "all"] = "head"
    learning_rate: Positive = 1e-3


class ModelConfig(Named):
    """A network: a registry name, a run folder, a student.safetensors, or a name of another library.

    Names of other libraries begin with hf:, smp:, torchvision:, timm: or module:. `options.insert_dropout` puts a
    dropout before the classifier of any of them. `pretrained: null` leaves it to the name: a checkpoint of transformers
    stands for its weights. `class_map` (a file, or `by-name`) and `finetune` are a teacher's.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    pretrained: Flag | None = None
    class_map: str | None = None
    finetune: FinetuneConfig | None = None
    normalisation: Literal["imagenet", "none"] | dict[Literal["mean", "std"], tuple[Number, Number, Number]] | None = (
        None
    )
    align_corners: Flag | None = None


class AugmentConfig(Section):
    """Joint augmentation of image, label and extra channels."""

    crop: Size | None = None
    resize: Size | None = None
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    flip: Fraction = 0.5
    colour_jitter: NonNegative = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentConfig":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"expected scale: [smallest, largest], got {list(self.scale)}")
        return self


class DataConfig(Named):
    """Which images, which part of them, and how they are batched.

    `labelled_share` keeps the labels of that share of the training frames, drawn with the run's seed; the others become
    the unlabelled images. `pseudo_labels` names a network whose argmax labels the unlabelled images.
    """

    name: str = "fogtown"
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    split: str | None = None
    size: Size | None = None
    batch_size: Count = 8
    workers: Annotated[Integer, Field(ge=0)] = 0
    cache: Literal["memory", "none"] = "memory"
    augment: AugmentConfig = AugmentConfig()
    unlabeled: str | None = None
    unlabeled_fraction: Fraction = 0.5
    labelled_share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    pseudo_labels: str | None = None

    @model_validator(mode="after")
    def _one_source_of_unlabelled_images(self) -> "DataConfig":
        if self.unlabeled is not None and self.labelled_share is not None:
            raise ValueError("expected either unlabeled or labelled_share, got both")
        if self.pseudo_labels is not None and self.unlabeled is None and self.labelled_share is None:
            raise ValueError("pseudo_labels: expected unlabelled images (unlabeled or labelled_share), got none")
        return self


class OptimConfig(Section):
    """The student's optimiser and its schedule, which is scaled to the budget."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.02
    momentum: Fraction = 0.9
    nesterov: Flag = False
    weight_decay: NonNegative = 1e-4
    head_lr_multiple: Positive = 1.0
    schedule: Literal["poly", "cosine"] = "poly"
    power: Positive = 0.9
    warmup: Fraction = 0.0
    accumulate: Count = 1
    clip: Positive | None = None


class BudgetConfig(Section):
    """How long a run is: exactly one of student updates, images seen, or seconds of training."""

    steps: Count | None = None
    samples: Count | None = None
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
    devices: Count = 1
    nodes: Count = 1
    threads: Count | None = None
    precision: Literal["float32", "bf16"] = "float32"
    fast: Flag = False
    log_every: Count = 20
    evaluate_every: Count | None = None
    checkpoint_every: Count = 200
    averaging: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    patience: Count | None = None
    tensorboard: Flag = True


class RunConfig(Section):
    """One run, complete: what `config.yaml` of a run folder holds."""

    seed: Integer = 0
    student: ModelConfig
    teacher: ModelConfig | None = None
    data: DataConfig = DataConfig()
    method: str | None = None
    losses: tuple[LossConfig, ...] = (LossConfig(name="cross_entropy"),)
    optim: OptimConfig = OptimConfig()
    budget: BudgetConfig = BudgetConfig(steps=1000)
    engine: EngineConfig = EngineConfig()
    preflight: Flag = True
    allow: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _student_learns_the_data(self) -> "RunConfig":
        if self.student.class_map is not None or self.student.finetune is not None:
            raise ValueError("student: class_map and finetune are a teacher's; a student learns the data's classes")
        if self.teacher is not None and self.teacher.class_map is not None and self.teacher.finetune is not None:
            raise ValueError("teacher: expected class_map or finetune, got both; finetuning gives the data's classes")
        return self
