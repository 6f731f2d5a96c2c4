"""How far a method preset is recommended: no further than it claims itself, and no further than any of its terms."""

from typing import Final

from foglight.config.preset_schema import Preset, Tier
from foglight.losses.registry import loss_class

# From the most that can be said of a method to the least.
ORDER: Final[tuple[Tier, ...]] = ("recommended", "supported", "for comparison")


def preset_tier(preset: Preset) -> Tier:
    """The lowest tier among the preset's own and its terms'.

    >>> from foglight.config.presets import load_method
    >>> preset_tier(load_method("kd")), preset_tier(load_method("skd"))
    ('recommended', 'for comparison')
    """
    claimed: list[Tier] = [preset.tier, *(loss_class(term.name).card.tier for term in preset.terms)]
    return max(claimed, key=ORDER.index)
