"""Names that break out of quotes, tenants and limits of any size, and impossible windows, through the product."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pytest

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.partition import day_start_ms
from resources.sources import open_sources
from tests.integration.between import swapping
from tests.integration.conftest import require
from tests.integration.homes import (
    ALL_WAYS,
    BULK,
    CPU,
    DAY,
    PROCESSORS,
    again,
    compute,
    failure,
    home,
    kind_of,
    reading,
    rows,
)
from tests.portal.command import run
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

START_MS, END_MS = day_start_ms(DAY), day_start_ms(DAY + timedelta(days=1))
SAMPLES = 24
"""Of each VM: two hours."""
HOSTILE = (
    'a"b\\c{}|.*\n', "a.b", "axb", "a", "A", "a|b", "b", "a.*", ".*", ".+", "[a-z]+", "(?i)a", "^a$", "\\d+", "\\",
    "\\\\n", "'", "''", "`", '"', '"} or {vm_id!="', '",vm_id=~".*', "$1", "$vm_ids", "{{vm}}", "%41", "%", "&=+", "#",
    "/", "../../etc/passwd", "=", ",", "a,b", ";", "-", "- -", " a", "a ", "\t", "\r", "\r\n", "\x00", "\x01\x1f\x7f",
    "\u2028", "\ufeffa", "\ufffd", "a\ufffd.\ufffd", "\u202egnp", "e\u0301", "\u00e9", "\u65e5\u672c", "\U0001f600",
    "NaN", "null", "+Inf", "\\Q..\\E", "x" * 5000,
)  # fmt: skip
TENANTS = ("acme", "ac.me", "acxme", "ac-me")
NO_TENANTS = ("ACME", "acme\n", 'a"b', "a|b", "../acme", '"} or {x="', "\u00e9", "x" * 64, "platform")


def vm(vm_id: str, value: float, tenant: str = "acme", metric: str = CPU, samples: int = SAMPLES) -> Series:
    ts_ms = START_MS + 300_000 * np.arange(samples, dtype=np.int64) + 1000
    labels = {"tenant_id": tenant, "vm_id": vm_id, "node_id": f"n-{vm_id[:50]}"}
    return Series(metric, labels, ts_ms, value + np.arange(samples) % 2 / 4)


def hostile_vms() -> dict[str, float]:
    """Return 240 ids, each with a value of its own."""
    many = [f"{part}{number}" for number in range(4) for part in HOSTILE]
    return {vm_id: float(number) for number, vm_id in enumerate(dict.fromkeys([*HOSTILE, *many]))}


def hostile_series() -> list[Series]:
    strangers = [vm(f"of {tenant}", 1.0, tenant) for tenant in (*TENANTS[1:], *NO_TENANTS)]
    return [*(vm(vm_id, value) for vm_id, value in hostile_vms().items()), *strangers]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Iterator[dict[str, ServerProcess]]:
    """A server of each kind whose labels are what they should not be."""
    require("prometheus", "promtool", "victoria-metrics")
    folder = tmp_path_factory.mktemp("hostile")
    create_blocks(hostile_series(), folder / "blocks")
    with prometheus(folder / "one", blocks=folder / "blocks") as one, victoriametrics(folder / "other") as other:
        load(other, hostile_series())
        yield {"prometheus": one, "victoriametrics": other}


@ALL_WAYS
def test_ids_are_read_exactly_however_they_are_asked_for(hostile, way, tmp_path):
    """Stops an id from selecting another VM, from breaking a request, or from changing on its way."""
    expected = hostile_vms()
    with swapping(hostile[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url, source_chunk_samples=1000)
        stored = compute(settings)
        assert len(proxy.of(BULK[way])) > 4  # in groups
        for table in PROCESSORS[1:]:
            compute(settings, table)
    found = rows(settings)
    assert stored.facts.samples_seen == SAMPLES * len(expected) == len(found)
    assert stored.facts.series == len(expected)
    means = found.groupby("vm_id", observed=True)["cpu_percent_mean"].agg(["min", "max", "size"])
    assert {vm_id: row["min"] for vm_id, row in means.iterrows()} == expected
    assert (means["max"] == means["min"] + 0.25).all()
    assert (means["size"] == SAMPLES).all()
    assert set(rows(settings, "vm_inventory")["vm_id"]) == set(expected)


@pytest.mark.parametrize("kind", ["prometheus", "victoriametrics"])
def test_tenants_are_told_apart_and_what_is_none_is_quarantined(hostile, kind, tmp_path):
    """Stops a tenant's dot from matching any character, and a label from becoming a folder or a line of a log."""
    settings = home(tmp_path / "home", kind, hostile[kind].url)
    sources = open_sources(settings)
    assert sources.tenants() == sorted(TENANTS)
    assert sorted(sources.refused_tenants()) == sorted(NO_TENANTS)
    for tenant in TENANTS[1:]:
        assert compute(settings, tenant=tenant).facts.series == 1
        assert set(rows(settings, tenant=tenant)["vm_id"]) == {f"of {tenant}"}
    for tenant in NO_TENANTS[:-1]:
        failure(settings, InvalidInput, partial(compute, settings, "vm_resources", tenant))
        done = run("run", "collecting", "--tenant", tenant, "--from", DAY, "--to", DAY, "--home", settings.home)
        assert done.code == 1
        assert "is not a tenant id" in done.err
    assert compute(settings, tenant="platform").rows == 0  # the series that pretend to be the operator's are not
    assert sorted(path.name for path in settings.lake_root.iterdir()) == [
        f"tenant={tenant}" for tenant in sorted([*TENANTS[1:], "platform"])
    ]
    done = run("source", "check", "--home", settings.home, "--tenant", "ac.me")
    assert done.code == 3
    assert f"{len(NO_TENANTS)} tenant label(s) are no tenant ids" in done.err
    quarantine = [line for line in done.out.splitlines() if line.startswith("quarantine")]
    assert len(quarantine) == len(NO_TENANTS)
    assert "'acme\\n': not 1 to 63 characters" in done.out


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((START_MS // 1000, END_MS // 1000), "It looks like seconds"),
        ((START_MS * 1000, END_MS * 1000), "It looks like microseconds"),
        ((START_MS * 1_000_000, END_MS * 1_000_000), "It looks like nanoseconds"),
        ((0, END_MS), "It is not between 2000 and 2100"),
        ((END_MS, START_MS), "runs backwards"),
        ((START_MS, START_MS), "is empty"),
        ((START_MS, day_start_ms(NOW.date() + timedelta(days=3))), "ends more than a day after now"),
    ],
)
def test_windows_that_cannot_be_meant_are_refused_before_anybody_is_asked(hostile, window, words, tmp_path):
    """Stops milliseconds taken for seconds: servers answer a day in the year 58000 with success and no data."""
    with swapping(hostile["prometheus"]) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        with pytest.raises(InvalidInput, match=words):
            list(open_sources(settings).samples("acme", [CPU], *window))
        for day in (date(1999, 12, 31), NOW.date() + timedelta(days=2)):
            failure(settings, InvalidInput, partial(compute, settings, day=day))
        assert proxy.passed == []


VMS = 30_000


def test_a_tenant_of_thirty_thousand_vms(tmp_path):
    """Stops a large tenant from being asked for at once, losing VMs between requests, or growing past its limit."""
    require("prometheus", "promtool")
    create_blocks((vm(f"vm-{number}", number / 1000, samples=3) for number in range(VMS)), tmp_path / "blocks")
    with prometheus(tmp_path / "own", blocks=tmp_path / "blocks") as server, swapping(server) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        stored = compute(settings)
        assert (stored.rows, stored.facts.samples_seen, stored.facts.series) == (3 * VMS, 3 * VMS, VMS)
        assert len(set(rows(settings)["vm_id"])) == VMS
        read = len(proxy.of("/api/v1/read"))
        assert read >= VMS // 1000
        settings = again(settings, source_max_entities=VMS - 1)
        said = failure(settings, PermanentFailure)
        assert f"means {VMS} values of vm_id, more than source_max_entities = {VMS - 1}" in said
        assert proxy.url in said
        assert len(proxy.of("/api/v1/read")) == read
        done = run("run", "collecting", "--tenant", "acme", "--from", DAY, "--to", DAY, "--home", settings.home)
        assert done.code == 1
        assert f"2026-01-01|acme: {proxy.url}: " in done.err
        assert f"means {VMS} values of vm_id" in done.err


PROMETHEUS_LIMITS = ("--query.max-samples=300", "--storage.remote.read-sample-limit=300")


@pytest.mark.parametrize("way", ["remote-read-chunks", "remote-read-samples", "query"])
def test_limits_of_a_prometheus_are_kept_and_nothing_is_lost(prometheus_simulated, way, tmp_path):
    """Stops a day that is too large for a server from failing, and one read in pieces from differing."""
    settings = reading(tmp_path / "home", way, prometheus_simulated.url)
    whole = {table: compute(settings, table).sha256 for table in ("vm_resources", "network_traffic")}
    with (
        prometheus_simulated.another(tmp_path / "own", flags=PROMETHEUS_LIMITS) as server,
        swapping(server) as proxy,
    ):
        settings = reading(tmp_path / "other", way, proxy.url)
        assert {table: compute(settings, table).sha256 for table in whole} == whole
        if way != "remote-read-chunks":  # which Prometheus does not count
            assert len(proxy.of(BULK[way])) > 20


@pytest.mark.parametrize(
    "limit", ["maxSamplesPerQuery=10000", "maxSamplesPerSeries=100", "maxExportSeries=12", "maxUniqueTimeseries=12"]
)
def test_limits_of_a_victoriametrics_are_kept_and_nothing_is_lost(prometheus_simulated, limit, tmp_path):
    """Stops the same, where a server may also notice in the middle of an answer, or while it lists VMs."""
    require("victoria-metrics")
    series = [one for one in prometheus_simulated.series if one.labels.get("tenant_id")]
    found = []
    for number, flags in enumerate([[], [f"-search.{limit}"]]):
        with victoriametrics(tmp_path / f"server-{number}", flags=flags) as server, swapping(server) as proxy:
            load(server, series)
            settings = home(tmp_path / f"home-{number}", "victoriametrics", proxy.url)
            found.append([compute(settings, table).sha256 for table in ("vm_resources", "network_traffic")])
            asked = len(proxy.passed)
            assert open_sources(settings).tenants() == ["acme", "globex"]
    assert found[0] == found[1]
    assert asked > 8


def test_a_limit_that_not_even_one_vm_keeps_is_named(prometheus_simulated, tmp_path):
    """Stops a message of a failed day that quotes the request at length and leaves out what was wrong."""
    require("victoria-metrics")
    with victoriametrics(tmp_path / "own", flags=["-search.maxExportSeries=3"]) as server:
        load(server, [one for one in prometheus_simulated.series if one.labels.get("tenant_id") == "acme"])
        said = failure(home(tmp_path / "home", "victoriametrics", server.url), PermanentFailure)
    assert server.url in said
    assert "the number of matching timeseries exceeds 3; either narrow down the search or increase" in said
    assert " ms of the vm_id 'acme-" in said
    assert said.endswith("Raise the server's limit.")


def test_a_list_that_a_server_cuts_is_not_whole(hostile, tmp_path):
    """Stops VMs from being lost without a word: VictoriaMetrics ends its lists at a limit and says success."""
    with victoriametrics(tmp_path / "own", flags=["-search.maxTagValues=100"]) as server:
        load(server, hostile_series())
        settings = home(tmp_path / "home", "victoriametrics", server.url)
        said = failure(settings, TransientFailure)
        assert f"{server.url}: " in said
        assert "the server lists 100 values of vm_id and has more; raise its limit, in VictoriaMetrics" in said
        assert "-search.maxTagValues" in said
        settings = again(settings, source_partial_answers="accept")
        assert any("-search.maxTagValues" in warning for warning in compute(settings).facts.warnings)
