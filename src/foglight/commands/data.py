"""`foglight data [NAME]`: data sets that can be named, and their options."""

from typing import Annotated

from typer import Argument

from foglight.commands.options import Json
from foglight.commands.output import Output


def data(
    name: Annotated[str | None, Argument(help="Show this data set's options.")] = None,
    json: Json = False,
) -> None:
    """List the data sets, or show the options of one."""
    output = Output("data" if name is None else f"data {name}", json=json)
    from foglight.config.mistakes import suggestion
    from foglight.data.registry import dataset_names, option_names
    from foglight.errors import ConfigurationError

    names = dataset_names()
    if name is None:
        for known in names:
            output.line(known)
        output.result({"data": list(names)})
        return
    if name not in names:
        remedy = f"name one of {', '.join(names)}{suggestion(name, names)}"
        raise ConfigurationError(f"data set {name!r} is unknown", remedy=remedy)
    options = option_names(name)
    output.line(f"options   {', '.join(options) or '(none)'}")
    output.result({"name": name, "options": list(options)})
