"""What a file in `recipes/methods` may say: a method with its published constants, or a weighting to lay over one."""

from typing import Annotated, Any, Final, Literal, final

from pydantic import Field

from foglight.config.schema import LossConfig, NonNegative, PixelWeightConfig, Section, Weight

# Over what the values of a weighted term form a divergence; "task" is the loss on the labels.
Kind = Literal["task", "class", "space"]
# The words of `foglight.losses.base.Tier`, whose file imports torch.
Tier = Literal["recommended", "supported", "for comparison"]
_ANY_ARCHITECTURE: Final = "any"


@final
class Constant(Section):
    """A number of a method and where it comes from."""

    name: str
    value: int | float | bool | str
    source: str


@final
class Published(Section):
    """What a paper used with one data set and architecture.

    Attributes:
        kappa: of the pixel weight.
        m: of the pixel weight.
        weights: by loss name, the weight that differs on this data set.
        options: by loss name, the options that differ there; the preset's other options stay.
        source: where it is printed, and what else that run changed.
    """

    kappa: NonNegative | None = None
    m: NonNegative | None = None
    weights: dict[str, Weight] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    source: str

    def over(self, below: "Published | None") -> "Published":
        """This, and what it leaves open from what is published more generally."""
        if below is None:
            return self
        return Published(
            kappa=below.kappa if self.kappa is None else self.kappa,
            m=below.m if self.m is None else self.m,
            weights={**below.weights, **self.weights},
            options={
                name: {**below.options.get(name, {}), **self.options.get(name, {})}
                for name in {**below.options, **self.options}
            },
            source=f"{below.source}; {self.source}",
        )


@final
class Preset(Section):
    """A method, ready to expand.

    Attributes:
        name: as `--method` takes it.
        title: one sentence.
        source: paper and equation.
        note: what a user must know before believing it.
        tier: the most that is claimed of it; the cards of its terms may claim less.
        terms: where no published constants apply.
        weighted: terms that an overlay weights, and how.
        constants: each with its source.
        data: by data set and architecture (or `any`), what differs.
    """

    name: str
    title: str
    source: str
    note: str = ""
    tier: Tier = "recommended"
    terms: Annotated[tuple[LossConfig, ...], Field(min_length=1)]
    weighted: dict[str, Kind] = Field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    data: dict[str, dict[str, Published]] = Field(default_factory=dict)

    def published(self, data: str, student: str) -> Published | None:
        """What was published for that data set and student, the nearest architecture over the more general; or None.

        >>> somewhere = {"any": Published(m=3, source="a paper"), "pspnet": Published(kappa=2, source="its code")}
        >>> preset = Preset(name="x", title="", source="", terms=("kd",), data={"camvid": somewhere})
        >>> there = preset.published("camvid", "pspnet_r18")
        >>> there.kappa, there.m, there.source
        (2.0, 3.0, 'a paper; its code')
        """
        found: Published | None = None
        by_architecture = self.data.get(data, {})
        # `any`, then `deeplabv3`, then `deeplabv3_r18`: a longer name says more about the student.
        for architecture in sorted(by_architecture, key=lambda name: (name != _ANY_ARCHITECTURE, len(name))):
            if architecture == _ANY_ARCHITECTURE or f"{student}_".startswith(f"{architecture}_"):
                found = by_architecture[architecture].over(found)
        return found

    def losses(self, data: str, student: str) -> tuple[LossConfig, ...]:
        """The terms, with the constants of that data set and student where there are any."""
        published = self.published(data, student)
        return self.terms if published is None else tuple(_with(published, term) for term in self.terms)


@final
class Overlay(Section):
    """A pixel weight for the per-pixel terms of any method.

    Attributes:
        name: as `--method` takes it, alone or after a plus sign.
        title: one sentence.
        source: paper and equation.
        note: what a user must know before believing it.
        over: the method it is laid over when it is named alone.
        pixel_weight: by kind of term.
        constants: each with its source.
        data: by data set, architecture and the method below, what differs.
    """

    name: str
    title: str
    source: str
    note: str = ""
    over: str
    pixel_weight: dict[Kind, PixelWeightConfig]
    constants: tuple[Constant, ...] = ()
    data: dict[str, dict[str, dict[str, Published]]] = Field(default_factory=dict)


def _with(published: Published, term: LossConfig) -> LossConfig:
    weight = published.weights.get(term.name, term.weight)
    options = {**term.options, **published.options.get(term.name, {})}
    term = term.model_copy(update={"weight": weight, "options": options})
    if term.pixel_weight is None:
        return term
    given = {key: value for key in ("kappa", "m") if (value := getattr(published, key)) is not None}
    return term.model_copy(update={"pixel_weight": term.pixel_weight.model_copy(update=given)})
