"""What a report says, as plain records: the pages are made from these alone.

Scores are dictionaries as `SegmentationScores.to_dict()` gives them; pictures are data URIs; None or an empty tuple
stands for what is not known, and the page says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

Role = Literal["teacher", "baseline", "distilled", "trained"]
Point = tuple[int, float]


@final
@dataclass(frozen=True)
class Arm:
    """One network in the comparison.

    Attributes:
        title: what it is called, unique in its report.
        role: teacher; baseline (the student alone that differences are taken from); distilled; or trained without a
            teacher but not the baseline.
        network: the architecture.
        method: the preset, None where the recipe lists its losses.
        parameters: trainable and frozen ones; None where the network was not at hand.
        raw: scores on the report part.
        scaled: the same with the temperature; None where it could not be fitted.
        temperature: fitted on the tune part.
        teacher: title of the arm that taught it.
        seed: of its training.
        steps: student updates.
        seconds: of training.
        seconds_per_step: as measured before training.
        budget: in words.
        teacher_share: of a step's time, in [0, 1].
        notes: what a reader must know about these figures.
    """

    title: str
    role: Role
    network: str
    method: str | None = None
    parameters: int | None = None
    raw: Mapping[str, Any] | None = None
    scaled: Mapping[str, Any] | None = None
    temperature: float | None = None
    teacher: str | None = None
    seed: int | None = None
    steps: int | None = None
    seconds: float | None = None
    seconds_per_step: float | None = None
    budget: str | None = None
    teacher_share: float | None = None
    notes: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Picture:
    """An image with what stands under it.

    Attributes:
        title: what it shows.
        uri: a data URI.
        size: width and height in pixels.
        caption: a figure that belongs to it.
    """

    title: str
    uri: str
    size: tuple[int, int]
    caption: str = ""


@final
@dataclass(frozen=True)
class Strip:
    """Pictures of one frame, side by side.

    Attributes:
        frame: its name in the data set.
        pictures: from left to right.
    """

    frame: str
    pictures: tuple[Picture, ...]


@final
@dataclass(frozen=True)
class Uncertainty:
    """How well one network's uncertainties point at its errors.

    Attributes:
        arm: its title.
        source: the uncertainty that the strips show.
        description: of the source, in words.
        auroc: error AUROC over the whole report part, by uncertainty.
        aurc: area under the risk-coverage curve, likewise.
        strips: uncertainty and errors of the chosen frames.
    """

    arm: str
    source: str
    description: str
    auroc: Mapping[str, float | None]
    aurc: Mapping[str, float | None]
    strips: tuple[Strip, ...]


@final
@dataclass(frozen=True)
class Curves:
    """What a run logged.

    Attributes:
        arm: its title.
        terms: value of each loss term by step, before its weight.
        tune: mIoU on the tune part by step.
    """

    arm: str
    terms: Mapping[str, tuple[Point, ...]]
    tune: tuple[Point, ...]


@final
@dataclass(frozen=True)
class Preflight:
    """What was checked before a run.

    Attributes:
        arm: its title.
        facts: name and value.
        tables: title, column names and rows.
        notes: what it said.
    """

    arm: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...]
    notes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Origin:
    """Where one run comes from.

    Attributes:
        arm: its title.
        facts: name and value: command, versions, commit, machine, seed, hashes.
        configuration: the text of `config.yaml`.
    """

    arm: str
    facts: tuple[tuple[str, str], ...]
    configuration: str


@final
@dataclass(frozen=True)
class Report:
    """Everything on the page, in its order.

    Attributes:
        data: the data set in words.
        frames: how many the report part has.
        tune_frames: how many the tune part has.
        class_names: by index.
        palette: red, green, blue bytes by index.
        arms: teachers, baseline, then the others as they were named.
        baseline: title of the arm that differences are taken from; None without one.
        strips: what the networks see.
        frame_rule: how the frames were chosen.
        uncertainties: of the students.
        curves: of the runs.
        preflights: of the runs.
        extra_pictures: refined maps of AttnFD runs.
        contact_sheet: of the data.
        notes: warnings of the data set and about the comparison.
        origins: of the runs.
        version: of foglight that wrote the page.
    """

    data: str
    frames: int
    tune_frames: int
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    arms: tuple[Arm, ...]
    baseline: str | None
    strips: tuple[Strip, ...]
    frame_rule: str
    uncertainties: tuple[Uncertainty, ...]
    curves: tuple[Curves, ...]
    preflights: tuple[Preflight, ...]
    extra_pictures: tuple[Picture, ...]
    contact_sheet: Picture | None
    notes: tuple[str, ...]
    origins: tuple[Origin, ...]
    version: str

    def arm(self, title: str) -> Arm:
        """The arm of that title.

        Raises:
            KeyError: if there is none.
        """
        return {arm.title: arm for arm in self.arms}[title]
