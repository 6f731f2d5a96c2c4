"""A budget as people write it: a number and a unit."""

from foglight.config.schema import BudgetConfig
from foglight.errors import ConfigurationError


def parse_budget(text: str) -> BudgetConfig:
    """A budget as people write it.

    Raises:
        ConfigurationError: for anything else.

    >>> parse_budget("2000 steps").steps
    2000
    """
    number, _, unit = text.strip().partition(" ")
    try:
        match unit:
            case "steps" | "step":
                return BudgetConfig(steps=int(number))
            case "samples" | "images":
                return BudgetConfig(samples=int(number))
            case "seconds" | "s":
                return BudgetConfig(seconds=float(number))
            case _:
                raise ValueError(unit)
    except ValueError as error:
        raise ConfigurationError(
            f"budget: expected a number and a unit, got {text!r}", remedy='write "2000 steps"'
        ) from error
