"""The day that is not over: computed while samples come in, and again, through migrations, failures and gaps."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.components import Result
from analytics_assets.pipelines.graph import instances, pipelines
from analytics_assets.processors.node_series import LONGEST_STEP
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Facts, Lake
from resources.partition import DAY_MS, Partition, day_of_ms, day_start_ms
from resources.settings import Settings, load_settings
from tests.integration.conftest import require
from tests.servers.live import instant
from tests.servers.node_exporter import node_exporter
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.vm_exporter import CPU, MEMORY, NAMES, RECEIVED, SENT, ExportedVm, VmExporter

pytestmark = pytest.mark.integration
RESOLUTION_SECONDS = 60
PAST_SECONDS = 300
"""What was scraped every second before the server of the tests started."""
SETTLED_MS = 3_000
"""A bucket that ended so long ago gets no more samples: every scrape of it is stored."""
MARGIN_SECONDS = PAST_SECONDS + 60
PIPELINE = f"""\
pipeline: raw
title: Raw samples
description: Samples of VMs and nodes as they came.
tenants: all
processors:
  - id: raw
    component: metric_samples
    parameters: {{metrics: ['{CPU}', node_load1]}}
"""


@dataclass(frozen=True)
class Computed:
    """What all processors made of today at one moment; by tenant and table."""

    at_ms: int
    tables: dict[tuple[str, str], pd.DataFrame]
    facts: dict[tuple[str, str], Facts]
    results: dict[tuple[str, str], Result]


@dataclass(frozen=True)
class Story:
    """Today before, and after, a migration and a failure of both exporters; `scrapes` answered around `after`."""

    today: date
    server: ServerProcess
    exporter: VmExporter
    before: Computed
    after: Computed
    moved_at_ms: int
    gap_ms: tuple[int, int]
    scrapes: range


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def today() -> date:
    """The day, where enough of it has passed and enough is left; these minutes around midnight are not tested."""
    day = day_of_ms(now_ms())
    passed = now_ms() - day_start_ms(day)
    if not MARGIN_SECONDS * 1000 < passed < DAY_MS - 120_000:
        pytest.skip("too close to midnight (UTC): today would be another day before the test ends")
    return day


@pytest.fixture(scope="module")
def story(today: date, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A Prometheus that scrapes VMs and this machine every second, with a past, and what happens to them."""
    require("prometheus", "promtool", "prometheus-node-exporter")
    folder = tmp_path_factory.mktemp("today")
    exporter = VmExporter(
        [ExportedVm("web", "acme", "node-a", received_a_step=1_000), ExportedVm("db", "acme", "node-a", 70_000)]
    )
    with ExitStack() as running:
        running.enter_context(exporter)
        node = running.enter_context(node_exporter(folder / "node-exporter"))
        until_ms = now_ms() // 1000 * 1000 - 500
        past = exporter.past("vms", [until_ms - 1000 * n for n in reversed(range(PAST_SECONDS))])
        create_blocks([*past, *long_series(today, until_ms)], folder / "blocks")
        server = running.enter_context(
            prometheus(
                folder / "prometheus",
                blocks=folder / "blocks",
                scrape_interval_seconds=1,
                scrape_configs=[
                    {"job_name": "vms", "static_configs": [{"targets": [exporter.target]}]},
                    {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{node.port}"]}]},
                ],
            )
        )
        settings = home_at(folder / "home", server.url, today - timedelta(days=1))
        wait_for(lambda: len(exporter.answered) >= 4)
        before = compute(settings, today)
        exporter.move("web", "node-b")
        moved_at_ms = now_ms()
        answered = len(exporter.answered)
        wait_for(lambda: len(exporter.answered) >= answered + 5)
        exporter.down = True
        node.stop()
        down_ms = now_ms()
        time.sleep(5.5)
        up_ms = now_ms()
        node.start()
        exporter.down = False
        answered = len(exporter.answered)
        wait_for(lambda: len(exporter.answered) >= answered + 4 and samples_of(server, "node_load1", up_ms) >= 3)
        scrapes_before = len(exporter.answered)
        after = compute(settings, today)
        scrapes = range(scrapes_before - 1, len(exporter.answered))
        yield Story(today, server, exporter, before, after, moved_at_ms, (down_ms, up_ms), scrapes)


def long_series(today: date, until_ms: int) -> list[Series]:
    """Return CPU use by the minute of a VM that was there all the time, and of one from noon of yesterday on."""
    midnight = day_start_ms(today)
    found = []
    for tenant, begin in (("steady", midnight - DAY_MS), ("noon", midnight - DAY_MS // 2)):
        ts_ms = np.arange(begin, until_ms, 60_000, dtype=np.int64) + 7_000
        labels = {"tenant_id": tenant, "vm_id": f"{tenant}-1", "node_id": "node-c"}
        found.append(Series(CPU, labels, ts_ms[ts_ms < until_ms], np.sin(np.arange(np.sum(ts_ms < until_ms))) + 5))
    return found


def home_at(folder: Path, url: str, first_day: date) -> Settings:
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "raw.yaml").write_text(PIPELINE)
    (folder / "analytics.toml").write_text(
        f'source = "prometheus"\nprometheus_url = "{url}"\nfirst_day = {first_day}\n'
        f"resolution_seconds = {RESOLUTION_SECONDS}\n"
    )
    return load_settings(folder, {})


def compute(
    settings: Settings, day: date, tenants: tuple[str, ...] = ("acme", "noon", "platform", "steady")
) -> Computed:
    """Compute all processors of a day and return what is then in the lake."""
    home, lake = AnalyticsHome(home=str(settings.home)), Lake(settings.lake_root)
    at_ms = now_ms()
    tables, facts, results = {}, {}, {}
    for tenant in tenants:
        for instance in instances(pipelines(settings)):
            if instance.component.stage == "processors":
                key = tenant, instance.table.name
                results[key], _ = compute_partition(instance, Partition(tenant, day), settings, lake, home)
                tables[key] = lake.read_day(instance.table, Partition(tenant, day)).to_pandas()
                facts[key] = lake.footer(instance.table.name, Partition(tenant, day))[1]
    return Computed(at_ms, tables, facts, results)


def wait_for(ready: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def raw(server: ServerProcess, expression: str) -> list[tuple[dict[str, str], pd.Series]]:
    """Return labels and samples by time (ms) of a selector's last half hour, asked of Prometheus itself."""
    return [
        (one["metric"], pd.Series({round(ts * 1000): float(value) for ts, value in one["values"]}))
        for one in instant(server, f"{expression}[30m]")
    ]


def samples_of(server: ServerProcess, expression: str, since_ms: int) -> int:
    return sum(int((samples.index >= since_ms).sum()) for _, samples in raw(server, expression))


COMPARED = {
    "vm_resources": ["vm_id", "ts"],
    "network_traffic": ["entity_kind", "entity_id", "ts"],
    "system_load": ["node_id", "ts"],
    "raw": ["metric", "labels", "ts"],
}


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its names as text: which others are in it too does not matter."""
    named = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(named, object))


@pytest.mark.parametrize(("tenant", "table"), [(t, n) for t in ("acme", "platform") for n in COMPARED])
def test_a_day_that_is_computed_again_only_grows(story, tenant, table):
    """Stops rows of the past from vanishing or changing when today is computed again."""
    key = COMPARED[table]
    first, second = (
        plain(one.tables[tenant, table]).set_index(key).sort_index() for one in (story.before, story.after)
    )
    assert set(first.index) <= set(second.index)
    width_ms = 1 if table == "raw" else RESOLUTION_SECONDS * 1000
    ended = pd.Timestamp(story.before.at_ms - SETTLED_MS - width_ms, unit="ms", tz="UTC")
    complete = first[first.index.get_level_values("ts") <= ended]
    if tenant == "acme":  # of the node there is no past
        assert len(complete) >= 4
    pd.testing.assert_frame_equal(complete, second.loc[complete.index])


def test_more_samples_are_seen_and_as_of_moves_on(story):
    """Stops a watermark in the future, and one that goes back or stands still."""
    for key in (("acme", "vm_resources"), ("acme", "network_traffic"), ("acme", "raw"), ("platform", "raw"),
                ("platform", "system_load")):  # fmt: skip
        first, second = story.before.facts[key], story.after.facts[key]
        assert first.samples_seen < second.samples_seen, key
        assert first.as_of_ms <= second.as_of_ms, key
        for facts, computed in ((first, story.before), (second, story.after)):
            assert facts.as_of_ms <= computed.at_ms + RESOLUTION_SECONDS * 1000 + SETTLED_MS, key
        assert second.as_of_ms >= story.after.at_ms - 2 * SETTLED_MS, key
    assert story.before.facts["acme", "raw"].as_of_ms < story.after.facts["acme", "raw"].as_of_ms


def test_an_unfinished_day_is_not_short_of_samples_for_being_unfinished(story):
    """Stops every run of today from saying that most of the day's samples are missing."""
    for table in ("vm_resources", "system_load", "raw"):
        assert story.after.facts["steady", table].coverage > 0.9, table


def test_half_a_day_of_samples_is_half_a_day(story, tmp_path):
    """Stops a tenant whose samples began at noon from being taken for one that is known all day."""
    yesterday = story.today - timedelta(days=1)
    settings = home_at(tmp_path / "home", story.server.url, yesterday)
    found = compute(settings, yesterday, ("noon", "steady"))
    assert found.facts["noon", "vm_resources"].coverage == pytest.approx(0.5, abs=0.01)
    assert found.facts["steady", "vm_resources"].coverage == 1
    assert found.tables["noon", "vm_resources"]["ts"].min() == pd.Timestamp(yesterday, tz="UTC") + pd.Timedelta(
        hours=12
    )


def said(story: Story, vm_id: str, scrape: int, name: str) -> float:
    """Return what a VM's counter counted, on all nodes, from what was first seen there to a scrape."""
    told = story.exporter.answered
    first = next(one for one in told if set(one[vm_id]) == set(told[-1][vm_id]))
    whole = 0.0
    for node_id, values in told[scrape][vm_id].items():
        # The past began at the first step; a later node's first sample has what was moved before it.
        began = story.exporter.vms[vm_id].received_a_step if node_id == "node-a" else first[vm_id][node_id][RECEIVED]
        whole += values[name] - (began if name == RECEIVED else began / 2)
    return whole


@pytest.mark.parametrize("vm_id", ["web", "db"])
def test_totals_follow_a_vm_that_moves_and_count_over_a_gap(story, vm_id):
    """Stops bytes from being lost, counted twice or invented by a migration and an exporter that fails."""
    traffic = story.after.tables["acme", "network_traffic"]
    own = traffic[traffic["entity_id"] == vm_id]
    for column, name in (("receive_bytes", RECEIVED), ("transmit_bytes", SENT)):
        assert own[column].sum() in [said(story, vm_id, scrape, name) for scrape in story.scrapes], column
        # Refused scrapes were steps too: the gap's bytes are there.
        assert own[column].sum() > (PAST_SECONDS + 14) * own[column].iloc[1] / RESOLUTION_SECONDS


def test_a_bucket_with_bytes_over_a_gap_is_doubtful_and_no_other(story):
    """Stops a reader from taking the minute after an outage for a burst of traffic."""
    for computed in (story.before, story.after):
        surely, maybe = set(), set()
        for labels, samples in raw(story.server, f'{RECEIVED}{{tenant_id="acme"}}'):
            ts_ms = samples.index[samples.index <= computed.at_ms]
            steps = np.diff(ts_ms)
            surely |= {(labels["vm_id"], bucket(ts)) for ts in ts_ms[1:][steps > 2_050]}
            maybe |= {(labels["vm_id"], bucket(ts)) for ts in ts_ms[1:][steps > 1_950]}
        traffic = computed.tables["acme", "network_traffic"]
        found = traffic[traffic["doubtful"]]
        assert surely <= set(zip(found["entity_id"], found["ts"], strict=True)) <= maybe
        assert computed.results["acme", "network_traffic"].numbers["doubtful_buckets"] == len(found)
    back = bucket(story.gap_ms[1])
    assert {vm_id for vm_id, ts in surely if ts >= back} == {"web", "db"}


def bucket(ts_ms: int) -> pd.Timestamp:
    """Return the start of the bucket that an instant is in."""
    return pd.Timestamp(ts_ms // (RESOLUTION_SECONDS * 1000) * RESOLUTION_SECONDS, unit="s", tz="UTC")


def test_means_and_places_follow_a_vm_that_moves(story):
    """Stops the old node's frozen series from being averaged in, and a VM from staying where it was."""
    spoken: dict[str, list[pd.Series]] = {"web": [], "db": []}
    for labels, samples in raw(story.server, f'{CPU}{{tenant_id="acme"}}'):
        left = labels["vm_id"] == "web" and labels["node_id"] == "node-a"
        spoken[labels["vm_id"]].append(samples[samples.index <= story.moved_at_ms] if left else samples)
    found = story.after.tables["acme", "vm_resources"].set_index(["vm_id", "ts"])
    for vm_id, parts in spoken.items():
        samples = pd.concat(parts)
        samples = samples[samples.index <= story.after.at_ms - 1_000]
        by_bucket = samples.groupby([bucket(ts) for ts in samples.index])
        assert len(by_bucket) >= PAST_SECONDS / RESOLUTION_SECONDS
        for ts, own in by_bucket:
            row = found.loc[(vm_id, ts)]
            if ts < bucket(story.after.at_ms - 1_000):
                assert row["cpu_percent_mean"] == pytest.approx(own.mean(), abs=1e-4)
                assert row["cpu_percent_max"] == pytest.approx(own.max(), abs=1e-4)
        # What came while it was computed may be in the last row too.
        assert own.max() - 1e-4 <= row["cpu_percent_max"] < own.max() + 1
        assert row["node_id"] == ("node-b" if vm_id == "web" else "node-a")
    assert (found["memory_bytes_max"] == 2.0**30).all()
    assert story.after.results["acme", "vm_resources"].numbers["frozen_twin_samples"] >= len(NAMES) * 5


def test_the_node_that_a_vm_left_no_longer_carries_it(story):
    """Stops a tenant's load from being counted on two nodes after a migration."""
    load = story.after.tables["acme", "system_load"].set_index(["ts", "node_id"])
    last = load.index.get_level_values("ts").max()
    assert load.loc[(last, "node-b"), "memory_bytes_mean"] == 2.0**30
    assert load.groupby("ts")["vm_count"].sum().max() == 2


def test_the_end_of_a_series_is_counted_and_is_no_value(story):
    """Stops the marker that Prometheus stores when a target dies from becoming a value, or from passing unseen."""
    [(_, up)] = raw(story.server, 'up{job="vms"}')
    for computed in (story.before, story.after):
        states = up[up.index <= computed.at_ms]
        ends = states.index[1:][(states.to_numpy()[1:] == 0) & (states.to_numpy()[:-1] == 1)]
        # A marker for each metric of both VMs, and of the node that one left.
        wanted = sum(len(NAMES) * (2 if ts <= story.moved_at_ms else 3) for ts in ends)
        numbers = computed.results["acme", "vm_resources"].numbers
        assert numbers["stale_markers"] == wanted
        assert numbers["not_finite_samples"] == 0
    assert wanted >= 3 * len(NAMES)


def test_a_target_that_dies_and_comes_back_leaves_a_hole(story):
    """Stops the last value before an outage from being carried on through it."""
    down_ms, up_ms = story.gap_ms
    for tenant, metric in (("platform", "node_load1"), ("acme", CPU)):
        samples = story.after.tables[tenant, "raw"]
        samples = samples[samples["metric"] == metric]
        ts_ms = samples["ts"].astype("datetime64[ms, UTC]").astype(np.int64)
        assert not ((ts_ms > down_ms + 1_000) & (ts_ms < up_ms)).any()
        assert (ts_ms < down_ms).sum() >= 3
        assert (ts_ms > up_ms).sum() >= 3
        assert np.isfinite(samples["value"]).all()
    assert samples["value"].min() > 10  # of the VMs, where zero would be invented
    load = story.after.tables["platform", "system_load"]
    [(_, own)] = raw(story.server, "node_load1")
    scraped = int((own.index <= story.after.at_ms - 1_000).sum())
    # A node's CPU use is known from its second sample on, and not over the gap, nor where the server was late.
    late = int((np.diff(own.index) > LONGEST_STEP * 950).sum())
    assert late >= 1
    assert 3 * scraped - 1 - late <= load["samples_seen"].sum() <= 3 * len(own) - 2


def test_memory_stays(story):
    """Stops a constant that says itself again from being taken for a series that ended."""
    for labels, samples in raw(story.server, f'{MEMORY}{{vm_id="db"}}'):
        assert labels["node_id"] == "node-a"
        assert set(samples) == {2.0**30}
    own = story.after.tables["acme", "vm_resources"].query("vm_id == 'db'")
    assert (own["memory_bytes_mean"] == 2.0**30).all()
