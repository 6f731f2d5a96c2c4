"""`foglight recipes [NAME]`: the recipes that come with foglight."""

from typing import Annotated

from typer import Argument

from foglight.commands.options import Json
from foglight.commands.output import Output, listing


def recipes(
    name: Annotated[str | None, Argument(help="Print this recipe.")] = None,
    json: Json = False,
) -> None:
    """List the recipes for `foglight train` and `foglight distill`, or print one."""
    from foglight.config.load import find_recipe, load_recipe, recipe_names

    output = Output("recipes" if name is None else f"recipes {name}", json=json)
    if name is not None:
        output.line(find_recipe(name).read_text(encoding="utf-8").rstrip())
        output.result({"name": name, "config": load_recipe(name).model_dump(mode="json")})
        return
    table = listing("recipe", "data", "student", "method", "budget")
    found: dict[str, dict[str, object]] = {}
    for known in recipe_names():
        config = load_recipe(known)
        budget = config.budget.model_dump(exclude_none=True)
        found[known] = {
            "data": config.data.name,
            "student": config.student.name,
            "teacher": None if config.teacher is None else config.teacher.name,
            "method": config.method,
            "budget": budget,
        }
        words = " ".join(f"{value:g} {unit}" for unit, value in budget.items())
        table.add_row(known, config.data.name, config.student.name, config.method or "losses", words)
    output.show(table)
    output.result({"recipes": found})
