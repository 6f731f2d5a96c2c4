"""`foglight methods [NAME]`: method presets, their terms, and the constants with their sources."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from foglight.commands.options import Json
from foglight.commands.output import Output, listing

if TYPE_CHECKING:
    from foglight.config.presets import Preset


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

    table = listing("method", "what it is")
    for known in method_names():
        table.add_row(known, load_method(known).title)
    output.show(table)
    output.line(f"METHOD+{'|'.join(overlay_names())} lays that weighting over any method, for example cwd+fotf")
    output.result({"methods": method_names(), "overlays": overlay_names()})


def _describe(output: Output, name: str, data: str, student: str) -> None:
    from foglight.config.presets import load_method

    preset = load_method(name)
    output.line(preset.title)
    output.line(f"source    {preset.source}")
    if preset.note:
        output.line(f"note      {preset.note}")
    terms = [term.model_dump(mode="json") for term in preset.losses(data, student)]
    cards = {term["name"]: _card(term["name"]) for term in terms}
    for term in terms:
        _print_term(output, term, cards[term["name"]])
    _print_constants(output, preset)
    output.result({**preset.model_dump(mode="json"), "terms": terms, "cards": cards})


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
    output.line(f"term      {term['name']}, weight {term['weight']}")
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
    published = listing("data set", "architecture", "kappa", "m", "source")
    for data, by_architecture in preset.data.items():
        for architecture, there in by_architecture.items():
            values = (there.kappa, there.m)
            published.add_row(
                data,
                architecture,
                *("-" if value is None else f"{value:g}" for value in values),
                there.source,
            )
    output.show(published)
