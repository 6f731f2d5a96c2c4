"""Method presets: what `--method NAME` expands to, with the published constants of the data set and their sources.

A method is a list of terms. An overlay (FOTF and its kin) is a pixel weight for the per-pixel terms of any method:
`cwd+fotf` lays FOTF over channel-wise distillation, and `fotf` alone lays it over vanilla distillation.
Each is one file in `recipes/methods`; its stem is its name.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any, Final, Literal, TypeVar, final

from pydantic import Field, ValidationError

from foglight.config.mistakes import configuration_error, suggestion, validation_mistakes
from foglight.config.schema import LossConfig, NonNegative, PixelWeightConfig, RunConfig, Section, Weight
from foglight.config.yaml_text import parse_yaml
from foglight.errors import ConfigurationError

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

        >>> load_method("fotf").published("camvid", "deeplabv3_r18").kappa
        10.0
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


def method_names() -> list[str]:
    """Methods and overlays; an overlay also goes after any method: `cwd+fotf`."""
    return sorted([*_methods(), *_overlays()])


def overlay_names() -> list[str]:
    """The pixel weights among `method_names`."""
    return sorted(_overlays())


def load_method(name: str) -> Preset:
    """A method, an overlay over its own default, or METHOD+OVERLAY.

    Raises:
        ConfigurationError: if there is none of that name.
    """
    base, plus, overlay = name.partition("+")
    if not plus and base in _overlays():
        base, overlay = _overlays()[base].over, base
    if base not in _methods():
        raise _unknown(name, base, sorted(_methods()) if plus else method_names())
    method = _methods()[base]
    if not plus and not overlay:
        return method
    if overlay not in _overlays():
        raise _unknown(name, overlay, overlay_names())
    return _lay(_overlays()[overlay], method, name)


def expand(config: RunConfig) -> RunConfig:
    """Fill `losses` from `method`, for the run's data set and student; a run without a method is returned as it is.

    A configuration that has been expanded before is returned unchanged.

    Raises:
        ConfigurationError: if there is no such method, or `losses` are given as well and say something else.
    """
    if config.method is None:
        return config
    losses = load_method(config.method).losses(config.data.name, config.student.name)
    if config.losses not in (losses, RunConfig.model_fields["losses"].default):
        raise method_and_losses(config.method)
    return config.model_copy(update={"losses": losses})


def method_and_losses(method: str) -> ConfigurationError:
    """The refusal of a recipe that says what its losses are twice, and not the same."""
    return ConfigurationError(
        f"method: expected either method or losses, got method {method!r} and losses that differ from it",
        remedy="remove one of the two; `losses.0.weight=...` on the command line changes a method's terms",
    )


def _lay(overlay: Overlay, method: Preset, name: str) -> Preset:
    """The method with the overlay's pixel weight on every term that it declares as weighted."""
    if not method.weighted:
        raise ConfigurationError(
            f"method {name!r}: {method.name} has no per-pixel term that {overlay.name} could weight",
            remedy=f"use `--method {method.name}`",
        )
    terms = tuple(
        term.model_copy(update={"pixel_weight": overlay.pixel_weight[method.weighted[term.name]]})
        if term.name in method.weighted
        else term
        for term in method.terms
    )
    published: dict[str, dict[str, Published]] = {data: dict(known) for data, known in method.data.items()}
    for data, by_architecture in overlay.data.items():
        for architecture, by_method in by_architecture.items():
            if method.name in by_method:
                known = published.setdefault(data, {})
                known[architecture] = by_method[method.name].over(known.get(architecture))
    return Preset(
        name=name,
        title=f"{overlay.title}; over {method.name}",
        source=f"{overlay.source}; {method.name}: {method.source}",
        note=" ".join(note for note in (overlay.note, method.note) if note),
        tier=method.tier,
        terms=terms,
        weighted=method.weighted,
        constants=(*method.constants, *overlay.constants),
        data=published,
    )


def _with(published: Published, term: LossConfig) -> LossConfig:
    weight = published.weights.get(term.name, term.weight)
    options = {**term.options, **published.options.get(term.name, {})}
    term = term.model_copy(update={"weight": weight, "options": options})
    if term.pixel_weight is None:
        return term
    given = {key: value for key in ("kappa", "m") if (value := getattr(published, key)) is not None}
    return term.model_copy(update={"pixel_weight": term.pixel_weight.model_copy(update=given)})


def _unknown(name: str, part: str, known: list[str]) -> ConfigurationError:
    where = f"method {name!r}" if name == part else f"method {name!r}: {part!r}"
    return ConfigurationError(f"{where} is unknown", remedy=f"name one of {', '.join(known)}{suggestion(part, known)}")


_Model = TypeVar("_Model", Preset, Overlay)


@cache
def _methods() -> Mapping[str, Preset]:
    return {name: _parse(name, content, Preset) for name, content in _files().items() if "over" not in content}


@cache
def _overlays() -> Mapping[str, Overlay]:
    return {name: _parse(name, content, Overlay) for name, content in _files().items() if "over" in content}


@cache
def _files() -> Mapping[str, dict[str, Any]]:
    folder = resources.files("foglight.recipes") / "methods"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".yaml"): parse_yaml(entry.read_text(encoding="utf-8"), source=entry.name)
        for entry in files
    }


def _parse(name: str, content: dict[str, Any], model: type[_Model]) -> _Model:
    tree = {"name": name, **content}
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise configuration_error(f"methods/{name}.yaml", validation_mistakes(error, tree, model)) from error
