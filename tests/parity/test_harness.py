"""The harness itself must notice what is wrong, and know whose case is whose."""

from collections.abc import Iterator

import pytest
import torch

from parity.compare import failures, relative_error, tolerance
from parity.dispatch import all_families, longest_prefix, method_of
from parity.protocol import Case, Outcome
from parity.table import PROPERTY, ParityTable, row, skipped_row

TRUTH = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("wrong", "rtol", "count"),
    [
        (TRUTH, 1e-6, 0),
        (TRUTH * (1 + 1e-7), 1e-6, 0),
        (TRUTH * (1 + 1e-5), 1e-6, 1),
        (TRUTH * (1 + 1e-5), 1e-4, 0),
        (TRUTH + 1e-8, 1e-6, 1),
        (TRUTH * torch.nan, 1e-6, 1),
        (TRUTH[:2], 1e-6, 1),
    ],
)
def test_differences_are_noticed(wrong: torch.Tensor, rtol: float, count: int) -> None:
    outcome = Outcome()
    outcome.value("loss", TRUTH, wrong)
    assert len(failures(outcome, rtol)) == count


def test_a_missing_gradient_counts_as_zeros() -> None:
    outcome = Outcome()
    outcome.gradient("x", TRUTH, None)
    assert failures(outcome, 1e-6)
    assert relative_error(outcome.comparisons[0]) == 1.0


def test_tolerance_follows_meta() -> None:
    assert tolerance({"computed_in": "float64"}) == 1e-6
    assert tolerance({"note": "margins computed in float32 then cast"}) == 1e-4


def test_the_longest_prefix_wins() -> None:
    assert longest_prefix("kd_torchdistill", {"kd", "kd_torchdistill", "k"}) == "kd_torchdistill"
    assert longest_prefix("kdx", {"kd"}) is None


def test_methods_without_a_family_are_known_by_name() -> None:
    assert method_of(Case("a/lix_dwld_1", "lix_dwld", {}, {})) == "dwld"
    assert method_of(Case("a/segce_1", "segce", {}, {})) == "cross_entropy"
    assert method_of(Case("a/novel_1", "novel", {}, {"method": "kd"})) == "kd"


def test_no_prefix_is_claimed_by_a_module_without_a_run() -> None:
    assert all(callable(family.run) for modules in all_families().values() for family in modules)


def test_the_table_keeps_the_worst_of_each_family() -> None:
    class Report:
        when = "call"

        def __init__(self, entry: dict[str, object]) -> None:
            self.user_properties = [(PROPERTY, entry)]

    table = ParityTable(None)
    for entry in _rows():
        table.pytest_runtest_logreport(Report(entry))
    assert table.families() == [
        {"family": "kd", "cases": 2, "failed": 1, "worst_value_error": 0.5, "worst_gradient_error": 0.1}
    ]


def _rows() -> Iterator[dict[str, object]]:
    yield row("kd", value=0.5, gradient=None, passed=False)
    yield row("kd", value=0.0, gradient=0.1, passed=True)
    yield skipped_row("dist", "dist")
