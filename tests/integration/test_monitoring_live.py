"""This machine and three libvirt domains, scraped at this moment: what is computed is what the machine itself says.

Counters are held in brackets: what was scraped between two readings of /proc lies between them.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from resources.lake.lake import Facts
from resources.partition import PLATFORM, day_of_ms
from resources.settings import Settings, load_settings
from resources.sources import known_tenants
from tests.integration.conftest import require
from tests.integration.test_today import compute, now_ms
from tests.portal.command import run
from tests.servers.live import LiveServers
from tests.servers.prometheus import prometheus

pytestmark = pytest.mark.integration
SENT_BYTES = 200_000_000

EDGE_MS = 5_000
"""More than the four scrapes that a rate goes over."""
BUSY_SECONDS = 6.0
IDLE = 'node_cpu_seconds_total{mode="idle"}'
RECEIVED = 'node_network_receive_bytes_total{device="lo"}'
PIPELINE = f"""\
pipeline: raw
title: Raw samples
description: What the exporters said.
tenants: all
processors:
  - id: raw
    component: metric_samples
    parameters: {{metrics: [node_load1, '{IDLE}', '{RECEIVED}']}}
"""


@dataclass(frozen=True)
class Reading:
    """What this machine says of itself at one moment."""

    at_ms: int
    received: dict[str, int]
    idle_seconds: dict[str, float]
    memory_used: int
    load: float


@dataclass(frozen=True)
class Seen:
    """The tables of today, and what the machine said around and during its busy time."""

    settings: Settings
    tables: dict[tuple[str, str], pd.DataFrame]
    facts: dict[tuple[str, str], Facts]
    before: Reading
    after: Reading
    loads: list[float] = field(default_factory=list)


def reading() -> Reading:
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    received = {name.strip(): int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    idle = {str(number): one.idle for number, one in enumerate(psutil.cpu_times(percpu=True))}
    memory = psutil.virtual_memory()
    return Reading(now_ms(), received, idle, memory.total - memory.available, os.getloadavg()[0])


@pytest.fixture(scope="module")
def today() -> date:
    """The day, if it is not about to end."""
    day = day_of_ms(now_ms())
    if day_of_ms(now_ms() + 60_000) != day or day_of_ms(now_ms() - 60_000) != day:
        pytest.skip("too close to midnight (UTC): the samples would be of two days")
    return day


@pytest.fixture(scope="module")
def seen(today: date, live_prometheus: LiveServers, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Today's tables after one core was busy for some seconds and a known amount went over the loopback."""
    settings = home_of(tmp_path_factory.mktemp("live-home") / "home", live_prometheus.url, today)
    before, loads = reading(), []
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1.5)
        send(SENT_BYTES)
        until = time.monotonic() + BUSY_SECONDS - 1.5
        while time.monotonic() < until:
            loads.append(os.getloadavg()[0])
            time.sleep(0.2)
    finally:
        busy.kill()
        busy.wait()
    after = reading()
    time.sleep(4.5)  # a rate's window goes over four scrapes
    found = compute(settings, today, ("acme", "globex", PLATFORM))
    return Seen(settings, found.tables, found.facts, before, after, [before.load, *loads, after.load, reading().load])


def home_of(folder: Path, url: str, first_day: date) -> Settings:
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "raw.yaml").write_text(PIPELINE)
    (folder / "analytics.toml").write_text(
        f'source = "prometheus"\nprometheus_url = "{url}"\nfirst_day = {first_day}\n'
    )
    return load_settings(folder, {})


def send(count: int) -> None:
    """Send `count` bytes over the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()

        def drain() -> None:
            while receiver.recv(1 << 20):
                pass

        thread = threading.Thread(target=drain)
        thread.start()
        sender.sendall(bytes(count))
        sender.shutdown(socket.SHUT_WR)
        thread.join()
        receiver.close()


def raw(seen: Seen, metric: str, **labels: str) -> pd.Series:
    """Return the stored samples of one series by time (ms)."""
    samples = seen.tables[PLATFORM, "raw"]
    wanted = [metric == one and labels.items() <= json.loads(text).items()
              for one, text in zip(samples["metric"], samples["labels"], strict=True)]  # fmt: skip
    own = samples[wanted]
    assert own["labels"].nunique() == 1, (metric, labels)
    return pd.Series(own["value"].to_numpy(), own["ts"].astype("datetime64[ms, UTC]").astype(np.int64).to_numpy())


def between(samples: pd.Series, seen: Seen) -> pd.Series:
    """Return the samples that were surely taken between both readings; a scrape takes a moment after its time."""
    own = samples[(samples.index >= seen.before.at_ms) & (samples.index <= seen.after.at_ms - 500)]
    assert len(own) >= BUSY_SECONDS - 2
    return own


def test_counters_are_those_of_the_machine(seen):
    """Stops values that are not what the exporter read, or that stand at another time."""
    received = raw(seen, "node_network_receive_bytes_total", device="lo")
    own = between(received, seen)
    assert seen.before.received["lo"] <= own.min() <= own.max() <= seen.after.received["lo"]
    assert list(own) == sorted(own)
    assert own.max() - seen.before.received["lo"] >= SENT_BYTES
    for cpu, idle in seen.before.idle_seconds.items():
        seconds = between(raw(seen, "node_cpu_seconds_total", cpu=cpu, mode="idle"), seen)
        assert idle - 0.02 <= seconds.min() <= seconds.max() <= seen.after.idle_seconds[cpu] + 0.02


def test_a_selector_brings_its_series_and_no_other(seen):
    """Stops conditions on labels from being dropped on the way to the server."""
    samples = seen.tables[PLATFORM, "raw"]
    labels = {(metric, *sorted(json.loads(text).items()))
              for metric, text in zip(samples["metric"], samples["labels"], strict=True)}  # fmt: skip
    assert len(labels) == 2 + len(seen.before.idle_seconds)
    assert {("device", "lo")} == {pair for one in labels for pair in one[1:] if pair[0] == "device"}
    assert not len(seen.tables["acme", "raw"])  # node metrics are not a tenant's


def test_the_load_of_the_node_is_that_of_the_machine(seen):
    """Stops sizes of the wrong unit, CPU use that is really idle time, and free memory that is called used."""
    load = seen.tables[PLATFORM, "system_load"]
    assert set(load["node_id"]) == {"127.0.0.1"}
    assert set(load["cpu_cores_total"]) == {os.cpu_count()}
    # Two gauges of a kernel that counts no memory away while it runs: exporter and psutil read the same line.
    assert set(load["memory_total_bytes"]) == {psutil.virtual_memory().total}
    assert load["cpu_percent_mean"].between(0, 100).all()
    assert load["cpu_percent_max"].between(0, 100).all()
    assert (load["cpu_percent_max"] >= load["cpu_percent_mean"]).all()
    used = load["memory_bytes_mean"].iloc[-1]
    assert abs(used - seen.after.memory_used) < 0.2 * psutil.virtual_memory().total
    averages = between(raw(seen, "node_load1"), seen)
    assert averages.between(min(seen.loads) - 0.05, max(seen.loads) + 0.05).all()
    assert load["load_average_1m_max"].max() >= averages.max() - 1e-3


def test_a_busy_core_shows(seen):
    """Stops CPU use from being averaged over the wrong cores, or from standing still."""
    cores = len(seen.before.idle_seconds)
    elapsed = (seen.after.at_ms - seen.before.at_ms) / 1000
    idle = sum(seen.after.idle_seconds.values()) - sum(seen.before.idle_seconds.values())
    use = 100 * (1 - idle / elapsed / cores)
    assert use > 0.7 * 100 / cores  # the machine was busy by its own account
    load = seen.tables[PLATFORM, "system_load"]
    assert load["cpu_percent_max"].max() >= 0.9 * use
    # Over the whole time that was scraped, the mean is what the counters say.
    series = [raw(seen, "node_cpu_seconds_total", cpu=cpu, mode="idle") for cpu in seen.before.idle_seconds]
    wanted = 100 * (1 - np.mean([(s.iloc[-1] - s.iloc[0]) / (s.index[-1] - s.index[0]) * 1000 for s in series]))
    found = np.average(load["cpu_percent_mean"], weights=load["samples_seen"])
    assert abs(found - wanted) < 5


def test_interfaces_move_what_the_kernel_counted(seen):
    """Stops recording rules whose rates do not add up to the bytes that went over an interface."""
    traffic = seen.tables[PLATFORM, "network_traffic"]
    assert set(traffic["entity_kind"]) == {"interface"}
    moved = traffic.groupby("interface", observed=True)["receive_bytes"].sum()
    assert set(moved.index) <= set(seen.after.received)
    assert {"lo"} <= set(moved.index)
    received = raw(seen, "node_network_receive_bytes_total", device="lo")
    whole = received.iloc[-1] - received.iloc[0]
    assert whole >= SENT_BYTES
    # A rate goes over four scrapes, so of what others send right at the begin and at the end a part is not in it.
    first, last = received.index[0] + EDGE_MS, received.index[-1] - EDGE_MS
    edges = whole - (received[received.index >= last].iloc[0] - received[received.index <= first].iloc[-1])
    assert abs(moved["lo"] - whole) < 0.1 * whole + edges
    # On the loopback all that is sent is received.
    sent = traffic.groupby("interface", observed=True)["transmit_bytes"].sum()
    assert sent["lo"] == pytest.approx(moved["lo"], rel=0.01)


def test_tenants_are_those_of_the_domains(seen, live_prometheus):
    """Stops domains whose relabelled tenant nobody finds."""
    assert known_tenants(seen.settings) == [*live_prometheus.tenants, PLATFORM]


def test_sizes_are_those_of_the_domains(seen, live_prometheus):
    """Stops VMs without sizes, with those of a neighbour, or with the balloon's size for the memory's."""
    for tenant in live_prometheus.tenants:
        found = seen.tables[tenant, "vm_inventory"].set_index("vm_id")
        domains = {domain.uuid: domain for domain in live_prometheus.domains if domain.tenant == tenant}
        assert set(found.index) == set(domains)
        for uuid, domain in domains.items():
            row = found.loc[uuid]
            assert row["vm_name"] == domain.domain
            assert (row["vcpus"], row["memory_bytes"]) == (domain.vcpus, domain.memory_bytes)
            assert (row["flavor"], row["node_id"], row["state"]) == (domain.flavor, "127.0.0.1", "running")


def test_a_tenants_load_counts_the_vcpus_of_its_domains(seen, live_prometheus):
    """Stops sizes that are listed and not used."""
    for tenant in live_prometheus.tenants:
        load = seen.tables[tenant, "system_load"]
        own = [domain for domain in live_prometheus.domains if domain.tenant == tenant]
        assert set(load["cpu_cores_total"]) == {sum(domain.vcpus for domain in own)}
        assert set(load["memory_total_bytes"]) == {sum(domain.memory_bytes for domain in own)}
        # libvirt's test driver counts a second of CPU time each second, whatever a domain's size.
        assert load["cpu_cores_mean"].iloc[-1] == pytest.approx(len(own), rel=0.1)
        assert (load["memory_bytes_mean"] == sum(domain.memory_bytes // 2 for domain in own)).all()


def full_buckets(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with samples of ten seconds or more; where a bucket has just begun, one increase is much."""
    full = rows[rows["samples_seen"] >= 20]
    assert set(full["entity_id"]) == set(rows["entity_id"])
    return full


@pytest.mark.parametrize("table", ["network_traffic", "storage_utilization"])
def test_counters_of_a_domain_add_up_to_its_rates(seen, table):
    """Stops a VM's disks and interfaces from being summed twice or not at all by the recording rules."""
    rows = full_buckets(seen.tables["acme", table])
    rate, total = {
        "network_traffic": ("receive_bytes_per_second_mean", "receive_bytes"),
        "storage_utilization": ("read_bytes_per_second_mean", "read_bytes"),
    }[table]
    resources = seen.tables["acme", "vm_resources"].set_index(["vm_id", "ts"])
    column = {"network_traffic": "network_receive", "storage_utilization": "disk_read"}[table]
    for _, row in rows.iterrows():
        same = resources.loc[(row["entity_id"], row["ts"]), f"{column}_bytes_per_second_mean"]
        # The tables were read some seconds apart, and the bucket was still filling.
        assert row[rate] == pytest.approx(same, rel=0.05)
        # Two series, a sample a second each; an increase needs a sample before it.
        assert row[total] == pytest.approx(row[rate] * row["samples_seen"] / 2, rel=0.2)


def test_drops_of_interfaces_are_those_of_the_vm(seen):
    """Stops the libvirt exporter's own counters, which no rule records, from staying unread."""
    traffic = full_buckets(seen.tables["acme", "network_traffic"])
    assert (traffic["drops_per_second"] > 0).all()


def test_every_partition_says_how_it_was_read(seen):
    """Stops a live day that cannot be told from one that was imported."""
    for (tenant, table), facts in seen.facts.items():
        if table in ("vm_resources", "network_traffic") and tenant != PLATFORM:
            assert facts.read_methods == ("remote-read chunks",), (tenant, table)
            assert facts.series, (tenant, table)
            assert facts.warnings == (), (tenant, table)


def test_source_check_gives_no_false_alarm(seen, live_prometheus):
    """Stops a server where all is well from being called ill: exit code 3 ends the script of whoever sets it up."""
    done = run("source", "check", "--home", seen.settings.home)
    assert done.code == 0, done.out + done.err
    assert done.err == ""
    assert "remote-read chunks" in done.out
    found = json.loads(run("source", "check", "--home", seen.settings.home, "--json").out)
    assert found["problems"] == []
    assert found["quarantine"] == {}
    assert abs(found["clock_skew_seconds"]) < 2
    assert [tenant["tenant"] for tenant in found["tenants"]] == [*live_prometheus.tenants, PLATFORM]
    for tenant in found["tenants"]:
        assert tenant["interval_seconds"] == 1
        assert tenant["coverage"] > 0.9
        assert tenant["first_day"] == tenant["last_day"] == str(day_of_ms(seen.before.at_ms))
    series = {tenant["tenant"]: tenant["series"] for tenant in found["tenants"]}
    assert series == {"acme": 2, "globex": 1, PLATFORM: 1}


def test_source_check_counts_what_other_exporters_give(seen):
    """Stops an operator from being sent after metrics that node exporter stands in for."""
    found = json.loads(run("source", "check", "--home", seen.settings.home, "--json").out)
    assert not {name for name in found["metrics_missing"] if name.startswith("novacron_system_")} - {
        "novacron_system_disk_usage_bytes"
    }
    assert "novacron_storage_iops" in found["metrics_missing"]
    assert {"node_load1", "node_cpu_seconds_total", "libvirt_domain_info_virtual_cpus"} <= set(
        found["metrics_of_others"]
    )


def test_source_check_says_what_a_server_without_novacron_lacks(today, tmp_path):
    """Stops an empty Prometheus from passing for a source."""
    require("prometheus")
    with prometheus(tmp_path / "server") as server:
        settings = home_of(tmp_path / "home", server.url, today)
        done = run("source", "check", "--home", settings.home)
    assert done.code == 3
    assert "recording rules" in done.err
