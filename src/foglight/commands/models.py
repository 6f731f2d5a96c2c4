"""`foglight models [NAME]`: networks that can be named, and how big they are."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from foglight.commands.options import Json
from foglight.commands.output import Output, listing

if TYPE_CHECKING:
    from torch import nn

# The meta device holds shapes without memory, so that counting a big network costs nothing.
_NO_MEMORY = "meta"


def models(
    name: Annotated[str | None, Argument(help="Describe this network and count its parameters.")] = None,
    classes: Annotated[int, Option("--classes", min=1, help="Number of classes to count with.")] = 19,
    json: Json = False,
) -> None:
    """List the networks, or describe one."""
    output = Output("models" if name is None else f"models {name}", json=json)
    if name is None:
        _list(output)
    else:
        _describe(output, name, classes)


def _list(output: Output) -> None:
    from foglight.models.registry import model_card, model_names

    table = listing("network", "what it is", "weights")
    for known in model_names():
        card = model_card(known)
        table.add_row(known, card.title, card.weights)
    output.show(table)
    output.result({"models": list(model_names())})


def _describe(output: Output, name: str, classes: int) -> None:
    from foglight.models.registry import model_card, model_options

    card = model_card(name)
    options = model_options(name)
    counts = parameter_counts(name, classes)
    output.line(card.title)
    output.line(f"source    {card.source}")
    if card.repository:
        output.line(f"code      {card.repository}")
    output.line(f"weights   {card.weights}")
    output.line(f"classes   {classes}")
    for part, count in counts.items():
        output.line(f"{part:9} {count / 1e6:.3f} M parameters")
    for option, value in options.items():
        output.line(f"option    {option} = {value!r}")
    output.result(
        {"name": name, "classes": classes, "parameters": counts, "options": {key: str(options[key]) for key in options}}
    )


def parameter_counts(name: str, classes: int) -> dict[str, int]:
    """Parameters in all, and of each direct part of the network."""
    import torch

    from foglight.models.registry import build_module, parameter_count

    with torch.device(_NO_MEMORY):
        module = build_module(name, num_classes=classes, options={})
    return {"total": parameter_count(module), **_parts(module)}


def _parts(module: "nn.Module") -> dict[str, int]:
    counts: dict[str, Any] = {}
    for part, child in module.named_children():
        count = sum(parameter.numel() for parameter in child.parameters())
        if count:
            counts[part] = count
    return counts
