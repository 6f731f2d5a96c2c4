"""What a study file may say: typed, closed models; an unknown key is an error.

Arms, teachers and evaluations go by names that become folder names. `set:` holds dotted overrides as on
the command line.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from foglight.config.schema import Integer, LossConfig, Section

# Becomes a folder's name.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Metric = Literal[
    "miou",
    "fwiou",
    "mean_f1",
    "pixel_accuracy",
    "class_accuracy",
    "boundary_iou",
    "nll",
    "brier",
    "ece_15",
    "ece_equal_mass",
    "ece_border",
]
# The part that every run reports by itself.
REPORT: Final = "report"
# The score that a verdict is about.
MAIN_METRIC: Final = "miou"


class NetworkRecipe(Section):
    """A base recipe, by name or path, with changes; its method and its teacher are not looked at."""

    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)


class TeacherConfig(NetworkRecipe):
    """A teacher, trained once, before all arms, on labels alone.

    `seed` is its own; the arms' seeds do not touch it.
    """

    seed: Integer = 0
    method: str = "ce"


class ArmConfig(Section):
    """One way to train the student: a method or its losses, and what else differs from the base recipe.

    `match_time_of` names an arm whose training time this one is given, in place of the recipe's steps.
    `pseudo_labels` names a teacher whose argmax labels the unlabelled images.
    """

    title: str | None = None
    method: str | None = None
    losses: tuple[LossConfig, ...] | None = None
    teacher: str | None = None
    pseudo_labels: str | None = None
    match_time_of: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_objective(self) -> "ArmConfig":
        if (self.method is None) == (self.losses is None):
            raise ValueError(
                f"expected exactly one of method and losses, got {'none' if self.method is None else 'both'}"
            )
        return self


class ComparisonConfig(Section):
    """The difference `arm` minus `against`, seed by seed."""

    arm: str
    against: str


class EvaluationConfig(Section):
    """A further part on which every network is scored, beside the run's own report part.

    `set` changes the data of the student's recipe: `{data.split: official}`.
    """

    part: Literal["train", "tune", "report"] = "report"
    set: dict[str, Any] = Field(default_factory=dict)
    note: str | None = None


class StudyConfig(Section):
    """One study, complete.

    `set` changes every recipe, the teachers' too. `results` is a folder, seen from the study file, into which the table
    and `study.json` are written as well.
    """

    title: str
    set: dict[str, Any] = Field(default_factory=dict)
    teachers: dict[Name, TeacherConfig] = Field(default_factory=dict)
    student: NetworkRecipe
    seeds: tuple[Integer, ...]
    arms: dict[Name, ArmConfig]
    comparisons: tuple[ComparisonConfig, ...] = ()
    evaluations: dict[Name, EvaluationConfig] = Field(default_factory=dict)
    metrics: tuple[Metric, ...] = ("miou", "nll", "brier", "ece_15")
    notes: tuple[str, ...] = ()
    results: str | None = None
