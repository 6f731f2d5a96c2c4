"""Import another library when it is needed, download in silence, and say in one line what is missing."""

import importlib
import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from foglight.errors import CheckpointError, ConfigurationError, UserError

# A mirror or a proxy, behind which this machine need not know the hub's address.
_ANOTHER_WAY: Final = ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_TALKATIVE: Final = ("huggingface_hub", "transformers", "timm", "segmentation_models_pytorch")


def library(name: str, *, extra: str) -> ModuleType:
    """The library of that import name.

    Args:
        name: as in `import name`.
        extra: of foglight that installs it.

    Raises:
        ConfigurationError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"{extra}: needs {name}, which cannot be imported ({error})", remedy=f'pip install "foglight[{extra}]"'
        ) from error


def _hub_is_there() -> bool:
    """Whether the hub of Hugging Face has an address; without one its client would try for most of a minute."""
    if any(os.environ.get(name) for name in _ANOTHER_WAY):
        return True
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        return False
    return True


@contextmanager
def downloading(what: str) -> Generator[None]:
    """Whatever a hub's client raises inside means the same to a user.

    Raises:
        CheckpointError: in place of every other error.
    """
    hub: Any = importlib.import_module("huggingface_hub.constants")
    offline = hub.HF_HUB_OFFLINE
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:  # retries and progress belong to nobody who waits for one line
            logger.setLevel(logging.ERROR)
        # The hub's own switch is read from the environment once, when it is imported.
        hub.HF_HUB_OFFLINE = offline or not _hub_is_there()
        yield
    except UserError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{what} cannot be had ({type(error).__name__})",
            remedy="check the name, go online once so that it is cached, name a local folder, or set pretrained: false",
        ) from error
    finally:
        hub.HF_HUB_OFFLINE = offline
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
