"""Which source a tenant reads."""

from datetime import date

import pytest

from analytics_assets.partitions import grid_first_day
from resources.monitoring.traces.importing import import_traces
from resources.partition import DAY_MS, day_start_ms
from resources.settings import load_settings
from resources.sources import known_tenants, open_sources

CSV = "ts,vm_id,cpu_percent\n2013-07-05T00:00:00Z,v1,10\n2013-07-05T00:05:00Z,v1,20\n"


@pytest.fixture
def imported(small_home, tmp_path):
    file = tmp_path / "usage.csv"
    file.write_text(CSV)
    import_traces(small_home.traces_root, "acme", [file], today=date(2026, 1, 1))
    return small_home


def test_a_tenant_with_imported_traces_reads_those_and_the_others_the_configured_source(imported):
    """Stops a mixture of measured and simulated samples in one tenant."""
    sources = open_sources(imported)
    assert (sources.of("acme").kind, sources.of("globex").kind) == ("files", "simulated")
    assert sources.extent("acme") == (date(2013, 7, 5), date(2013, 7, 5))
    assert sources.tenants() == known_tenants(imported) == ["acme", "globex", "platform"]


def test_the_grid_begins_with_the_first_sample_unless_set(imported):
    """Stops imported history from lying before the grid, where it cannot be computed."""
    assert grid_first_day(imported) == date(2013, 7, 5)
    assert grid_first_day(imported.model_copy(update={"first_day": date(2020, 1, 1)})) == date(2020, 1, 1)


def test_a_home_without_any_source_has_no_tenants(tmp_path):
    settings = load_settings(tmp_path, {})
    assert known_tenants(settings) == []
    assert open_sources(settings).first_day() is None


def sizes(settings, tenant):
    day = day_start_ms(date(2013, 7, 5))
    return [row["vcpus"] for row in open_sources(settings).inventory(tenant, day, day + DAY_MS).to_pylist()]


def test_an_inventory_that_was_asked_for_wins_over_the_sizes_of_traces(imported, tmp_path):
    """Stops `inventory = "file"` from being ignored, without a word, for tenants with imported traces."""
    file = tmp_path / "sizes.csv"
    file.write_text("tenant_id,vm_id,vcpus\nacme,v1,7\nglobex,g1,3\n")
    with_file = imported.model_copy(update={"inventory_file": file})
    assert sizes(with_file, "acme") == sizes(imported, "acme") != [7.0]
    assert sizes(with_file, "globex") == [3.0]
    explicit = with_file.model_copy(update={"inventory": "file"})
    assert (sizes(explicit, "acme"), sizes(explicit, "globex")) == ([7.0], [3.0])
    assert sizes(imported.model_copy(update={"inventory": "none"}), "acme") == []
