"""`foglight version`: what is installed."""

import platform
from importlib import metadata

from foglight import __version__
from foglight.commands.options import Json
from foglight.commands.output import Output

_PACKAGES = ("torch", "torchvision", "timm", "lightning", "pydantic")


def version(json: Json = False) -> None:
    """Versions of foglight, Python and the packages that change results."""
    output = Output("version", json=json)
    versions = {"foglight": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    for name, value in versions.items():
        output.line(f"{name:12} {value}")
    output.result(versions)
