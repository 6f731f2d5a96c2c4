"""Which family a case belongs to, and which method that family exercises."""

import importlib
import pkgutil
from functools import cache

from foglight.losses.registry import loss_names
from parity import families
from parity.protocol import Case, Family

# Methods whose cases are not named after them; a module in `families` takes precedence.
METHODS = {
    "adv": "skd_holistic",
    "afdcd": "af_dcd",
    "akd": "avatar",
    "cbam": "attnfd",
    "cirkdv2_channel": "cirkd_channel",
    "discriminator": "skd_holistic",
    "lix_arfd": "arfd",
    "lix_dwld": "dwld",
    "self_attn": "skd_holistic",
    "skd_pair": "skd_pairwise",
    "skd_pair_cirkd": "skd_pairwise",
    "skd_pair_orig": "skd_pairwise",
    "spectral_norm": "skd_holistic",
    "wgan_gp": "skd_holistic",
}


@cache
def all_families() -> dict[str, list[Family]]:
    """Family modules by prefix; two may share one and tell their cases apart by `matches`."""
    by_prefix: dict[str, list[Family]] = {}
    for entry in pkgutil.iter_modules(families.__path__):
        module = importlib.import_module(f"{families.__name__}.{entry.name}")
        for prefix in module.PREFIXES:
            by_prefix.setdefault(prefix, []).append(module)
    return by_prefix


def longest_prefix(stem: str, prefixes: set[str]) -> str | None:
    """The longest of `prefixes` that `stem` is, or begins with up to an underscore."""
    fitting = [prefix for prefix in prefixes if stem == prefix or stem.startswith(f"{prefix}_")]
    return max(fitting, key=len, default=None)


def family_of(case: Case) -> Family | None:
    """The module that runs this case; None where there is none, or where a longer prefix is somebody else's."""
    by_prefix = all_families()
    prefix = longest_prefix(case.stem, {*by_prefix, *METHODS, *loss_names()})
    for family in by_prefix.get(prefix or "", []):
        if getattr(family, "matches", lambda case: True)(case):
            return family
    return None


def method_of(case: Case) -> str | None:
    """The registry name that this case exercises; None where it is not a loss."""
    family = family_of(case)
    if family is not None:
        return family.METHOD
    names = loss_names()
    prefix = longest_prefix(case.stem, {*METHODS, *names})
    if prefix is not None:
        return METHODS.get(prefix, prefix)
    return case.meta.get("method", case.stem)
