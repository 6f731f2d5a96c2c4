"""`foglight methods [NAME]`: method presets, their terms, and the constants with their sources."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from foglight.commands.options import Json
from foglight.commands.output import Output, listing

if TYPE_CHECKING:
    from foglight.config.preset_schema import Preset, Published


def methods(
    name: Annotated[str | None, Argument(help="Describe this method; METHOD+fotf and the like are understood.")] = None,
    data: Annotated[str, Option("--data", help="Expand for this data set.")] = "",
    student: Annotated[str, Option("--student", help="Expand for this student.")] = "",
    json: Json = False,
) -> None:
    """List the method presets, or print one: equation, terms, constants and their sources."""
    output = Output("methods" if name is None else f"methods {name}", json=json)
    if name is None:
        _list(output)
    else:
        _describe(output, name, data, student)


def _list(output: Output) -> None:
    from foglight.config.presets import load_method, method_names, overlay_names
    from foglight.config.tiers import preset_tier

    overlays = overlay_names()
    tiers = {name: "weighting" if name in overlays else preset_tier(load_method(name)) for name in method_names()}
    table = listing("method", "tier", "what it is")
    for known, tier in tiers.items():
        table.add_row(known, tier, load_method(known).title)
    output.show(table)
    output.line(f"METHOD+{'|'.join(overlays)} lays that weighting over any method, for example cwd+fotf")
    output.result({"methods": method_names(), "overlays": overlays, "tiers": tiers})


def _describe(output: Output, name: str, data: str, student: str) -> None:
    from foglight.config.presets import load_method
    from foglight.config.tiers import preset_tier

    preset = load_method(name)
    tier = preset_tier(preset)
    output.line(preset.title)
    output.line(f"tier      {tier}")
    output.line(f"source    {preset.source}")
    if preset.note:
        output.line(f"note      {preset.note}")
    terms = [term.model_dump(mode="json") for term in preset.losses(data, student)]
    cards = {term["name"]: _card(term["name"]) for term in terms}
    for term in terms:
        _print_term(output, term, cards[term["name"]])
    _print_constants(output, preset)
    output.result({**preset.model_dump(mode="json"), "tier": tier, "terms": terms, "cards": cards})


def _card(loss: str) -> dict[str, str]:
    from foglight.losses.registry import loss_class

    card = loss_class(loss).card
    return {
        "title": card.title,
        "equation": card.equation,
        "source": card.source,
        "implementation": card.implementation,
        "deviations": card.deviations,
        "cost": card.cost,
        "tier": card.tier,
    }


def _print_term(output: Output, term: dict[str, Any], card: dict[str, str]) -> None:
    output.line("")
    output.line(f"term      {term['name']}, weight {_weight(term['weight'])}")
    for key, text in card.items():
        if text:
            output.line(f"  {key:14} {text}")
    for option, value in term["options"].items():
        output.line(f"  {'option':14} {option} = {value}")
    if term["pixel_weight"] is not None:
        weight = ", ".join(f"{key} {value}" for key, value in term["pixel_weight"].items() if value is not None)
        output.line(f"  {'pixel weight':14} {weight}")


def _print_constants(output: Output, preset: "Preset") -> None:
    output.line("")
    constants = listing("constant", "value", "source")
    for constant in preset.constants:
        constants.add_row(constant.name, str(constant.value), constant.source)
    output.show(constants)
    if not preset.data:
        return
    output.line("")
    published = listing("data set", "architecture", "what differs there", "source")
    for data, by_architecture in preset.data.items():
        for architecture, there in by_architecture.items():
            published.add_row(data, architecture, _differences(there), there.source)
    output.show(published)


def _differences(there: "Published") -> str:
    """Every constant that is published for that data set, in one line."""
    given = [f"{key} {value:g}" for key, value in (("kappa", there.kappa), ("m", there.m)) if value is not None]
    given += [f"weight of {loss} {_weight(weight)}" for loss, weight in there.model_dump()["weights"].items()]
    for loss, options in there.options.items():
        given += [f"{option} of {loss} {value}" for option, value in options.items()]
    return ", ".join(given)


def _weight(weight: Any) -> str:
    """A number, or what there is by term or of a schedule."""
    return ", ".join(f"{key} {value}" for key, value in weight.items()) if isinstance(weight, dict) else str(weight)
