"""`foglight taps MODEL`: where a network's features can be read, on which grid and with how many channels."""

import re
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from foglight.commands import options
from foglight.commands.output import Output, listing

if TYPE_CHECKING:
    from foglight.models.network import Network
    from foglight.types import TapInfo


def taps(
    model: Annotated[str, Argument(metavar="MODEL", help="A network by name, a run folder, or a student.safetensors.")],
    size: Annotated[str, Option("--size", metavar="HxW", help="Of the image that is run.")] = "128x128",
    classes: Annotated[int, Option("--classes", min=1, help="Of a network that does not know its own.")] = 19,
    every: Annotated[bool, Option("--all", help="Every module path that fires, not only the aliases.")] = False,
    insert_dropout: options.InsertDropout = None,
    set_: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="An option of the network.")] = None,
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """List a network's tap points: stride and channels, measured by one forward."""
    output = Output(f"taps {model}", json=json)
    window = _parsed(size)
    network = _network(model, classes, _options(set_, insert_dropout), trust=trust)
    info = network.info(window, _fired(network, window) if every else ())
    content = {
        "name": network.name,
        "weights": network.weights_source,
        "classes": info.num_classes,
        "stride": info.stride,
        "align_corners": info.align_corners,
        "size_multiple": network.module.size_multiple,
        "mean": list(network.normalisation[0]),
        "std": list(network.normalisation[1]),
        "taps": {tap: {"stride": info.taps[tap].stride, "channels": info.taps[tap].channels} for tap in info.taps},
        "dropouts": [vars(dropout) for dropout in info.dropouts],
    }
    _show(output, content, dict(info.taps))
    output.result(content)


def _parsed(size: str) -> tuple[int, int]:
    """Height and width.

    >>> _parsed("64x96")
    (64, 96)
    """
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if found is None:
        from foglight.errors import ConfigurationError

        raise ConfigurationError(f"--size: expected HxW, such as 512x1024, got {size!r}", remedy="correct --size")
    return int(found[1]), int(found[2])


def _network(model: str, classes: int, given: dict[str, Any], *, trust: bool) -> "Network":
    from foglight.errors import ConfigurationError
    from foglight.models.load import load_network

    try:
        return load_network(model, options=given, trust=trust)
    except ConfigurationError as error:
        if "number of classes is not known" not in error.problem:
            raise
        return load_network(model, num_classes=classes, options=given, trust=trust)


def _options(words: list[str] | None, rate: float | None) -> dict[str, Any]:
    from foglight.config.overrides import Override, parse_override
    from foglight.errors import ConfigurationError

    given: dict[str, Any] = {} if rate is None else {"insert_dropout": rate}
    for word in words or ():
        override = parse_override(word)
        if not isinstance(override, Override):
            raise ConfigurationError(str(override), remedy="write an option of the network, such as dropout=0.1")
        given[".".join(override.keys)] = override.value
    return given


def _fired(network: "Network", window: tuple[int, int]) -> tuple[str, ...]:
    """Paths of modules whose output is a feature map, as a recipe would write them."""
    from foglight.models.dry_run import measure
    from foglight.models.padding import Padding

    module = network.module
    fired = measure(module, Padding.to_multiple(window, module.size_multiple).padded).fired
    root = f"{module.tap_root}." if module.tap_root else ""
    return tuple(
        path.removeprefix(root)
        for path, found in fired.items()
        if path.startswith(root) and not path.endswith(":in") and found.stride > 0
    )


def _show(output: Output, content: dict[str, Any], found: "dict[str, TapInfo]") -> None:
    table = listing("tap", "stride", "channels", "closing BatchNorm")
    for tap, one in found.items():
        table.add_row(tap, str(one.stride or "-"), str(one.channels), "yes" if one.closing_batch_norm else "")
    output.show(table)
    for dropout in content["dropouts"]:
        feeds = ", feeds the classifier" if dropout["feeds_classifier"] else ""
        output.line(f"dropout   {dropout['name']} {dropout['rate']:g}{feeds}")
    if not content["dropouts"]:
        output.line("dropout   none; --insert-dropout 0.1 puts one before the classifier")
    output.line(f"logits    {content['classes']} classes at stride {content['stride']}")
    padding = content["size_multiple"]
    output.line(f"input     {'any size' if padding == 1 else f'padded to a multiple of {padding}'}")
    output.line(f"          mean {content['mean']}, std {content['std']}")
    output.line(f"weights   {content['weights']}")
