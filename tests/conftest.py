"""What every test of the project shares: the parity table, whose option and summary must exist before collection.

Under xdist the controller collects nothing and so loads no deeper conftest; that is why the table is wired here.
"""

import pytest

from parity.table import ParityTable


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity-json", metavar="FILE", default=None, help="write the parity table to FILE as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ParityTable(config.getoption("--parity-json")), "parity-table")
