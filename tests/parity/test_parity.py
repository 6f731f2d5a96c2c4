"""Do our numbers agree with the published code, in value and in gradient?"""

from collections.abc import Callable

import pytest

from foglight.losses.registry import loss_names
from parity.compare import failures, tolerance, worst
from parity.dispatch import family_of, method_of
from parity.reference import case_names, folder, load
from parity.table import PROPERTY, row, skipped_row


def test_there_are_cases() -> None:
    assert case_names(), f"no *.npz below {folder()}; set FOGLIGHT_ORACLES to a folder that holds reference cases"


@pytest.mark.parametrize("name", case_names())
def test_case(name: str, record_property: Callable[[str, object], None]) -> None:
    case = load(name)
    family, method = family_of(case), method_of(case)
    registered = method in loss_names()
    if not registered and (family is None or method is not None):
        record_property(PROPERTY, skipped_row(case.stem, method))
        pytest.skip(f"{case.stem}: the method {method!r} is not in the registry")
    assert family is not None, f"{case.stem}: the loss {method!r} is registered, so tests/parity/families must run this"
    try:
        outcome = family.run(case)
    except Exception:
        record_property(PROPERTY, row(case.stem, value=None, gradient=None, passed=False))
        raise
    assert outcome.comparisons, f"{name}: the family compared nothing"
    wrong = failures(outcome, tolerance(case.meta))
    record_property(
        PROPERTY,
        row(case.stem, value=worst(outcome, "value"), gradient=worst(outcome, "gradient"), passed=not wrong),
    )
    assert not wrong, "\n".join(wrong)
