"""A lake of two tenants and a session of one of them."""

from dataclasses import replace

import pytest

from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits, open_session
from tests.resources.lake.scenario import NOTES, VM_LOAD, filled_lake

LIMITS = QueryLimits(max_rows=1000, timeout_seconds=2, memory_mb=256, threads=1)
TABLES = [VM_LOAD, NOTES]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Two tenants whose names begin alike, in a folder whose name needs quoting and looks like a pattern and a day."""
    return filled_lake(tmp_path_factory.mktemp("x") / "the [l]ab's day=2020-01-01.parquet" / "lake", ("acme", "acme2"))


@pytest.fixture(scope="module")
def session(lake):
    with open_session(lake, "acme", TABLES, LIMITS) as opened:
        yield opened


@pytest.fixture(scope="module")
def patient_session(lake):
    """The same with a minute for each query, however slow the machine: what ends it is another limit."""
    with open_session(lake, "acme", TABLES, replace(LIMITS, timeout_seconds=60)) as opened:
        yield opened
