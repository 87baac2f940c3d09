"""The traces as series against the totals that `expected.py` computes from the files on its own."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.servers import expected, traces
from tests.servers.events import Gap, Migration, Reset
from tests.servers.loaded import Traces, read_traces
from tests.servers.series import Series

MINUTE = timedelta(minutes=1)
BEGIN = datetime(2013, 8, 1, 23, 50, tzinfo=UTC)
BYTES = {
    "novacron_vm_disk_read_bytes_total": "disk_read_bytes",
    "novacron_vm_disk_write_bytes_total": "disk_write_bytes",
    "novacron_vm_network_receive_bytes_total": "network_receive_bytes",
    "novacron_vm_network_transmit_bytes_total": "network_transmit_bytes",
}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Traces:
    return read_traces(shared_data)


def day_of(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def increases(series: Series) -> dict[date, float]:
    """Return what a counter grew by on each day, reading it sample by sample."""
    grown: dict[date, float] = defaultdict(float)
    before = None
    for ms, value in zip(series.ts_ms.tolist(), series.values.tolist(), strict=True):
        if before is not None:
            grown[day_of(ms)] += value - before if value >= before else value
        before = value
    return grown


def of(series, vm_id: str, name: str) -> list[Series]:
    return [one for one in series if one.labels.get("vm_id") == vm_id and one.name == name]


def test_counters_grow_by_what_was_moved(real):
    """Stops counters in the wrong unit, and events that change totals in another way than they say."""
    wanted = real.expected_bitbrains()
    assert len(wanted) == 12 * 30
    for name, column in BYTES.items():
        for vm in real.bitbrains_vms:
            found: dict[date, float] = defaultdict(float)
            for series in of(real.series, vm.vm_id, name):
                for day, grown in increases(series).items():
                    found[day] += grown
            theirs = wanted[wanted.vm_id == vm.vm_id]
            assert {day: found[day] for day in theirs.day} == dict(zip(theirs.day, theirs[column], strict=True))


def test_gauges_are_those_of_the_file(real):
    """Stops samples that are lost, doubled, or another VM's."""
    wanted = real.expected_bitbrains()
    moved = {event.vm_id: event for event in real.events if isinstance(event, Migration)}
    for vm in real.bitbrains_vms:
        theirs = wanted[wanted.vm_id == vm.vm_id].set_index("day")
        assert set(theirs.tenant) == {vm.tenant}
        cpu: dict[date, list[float]] = defaultdict(list)
        for series in of(real.series, vm.vm_id, traces.CPU):
            at = traces.to_ms(moved[vm.vm_id].at) if vm.vm_id in moved else 0
            frozen = vm.vm_id in moved and series.labels["node_id"] == vm.node_id
            for ms, value in zip(series.ts_ms.tolist(), series.values.tolist(), strict=True):
                if not (frozen and ms >= at):
                    cpu[day_of(ms)].append(value)
        for day, row in theirs.iterrows():
            assert len(cpu[day]) == row.cpu_samples
            assert sum(cpu[day]) == pytest.approx(row.cpu_sum, 1e-12)
            assert max(cpu[day]) == row.cpu_max


def test_planetlab_is_a_day_of_288_samples_a_vm(real):
    """Stops a day shifted by the machine's time zone, and ids that lose their blank."""
    assert len(real.planetlab_vms) == 100
    assert any(" " in vm.vm_id for vm in real.planetlab_vms)
    wanted = real.expected_planetlab().set_index("vm_id")
    for series in real.planetlab_series:
        assert (len(series), {day_of(ms) for ms in series.ts_ms.tolist()}) == (288, {date(2011, 3, 3)})
        row = wanted.loc[series.labels["vm_id"]]
        assert (row.cpu_samples, row.cpu_sum, row.cpu_max) == (288, series.values.sum(), series.values.max())
        assert set(series.labels) == {"vm_id", "vm_name", "tenant_id", "node_id"}


def test_the_series_left_behind_is_frozen_beside_the_new_one(real):
    """Stops a planted migration that no processor could mistake."""
    (move,) = [event for event in real.events if isinstance(event, Migration)]
    at = traces.to_ms(move.at)
    for name in (traces.CPU, traces.MEMORY, *traces.COUNTERS):
        old, new = of(real.series, move.vm_id, name)
        assert new.ts_ms[0] >= at > new.ts_ms[0] - 600_000
        assert new.labels == {**old.labels, "node_id": move.node_id}
        assert len(set(old.values[old.ts_ms >= at - 300_000].tolist())) <= 2
        assert len(set(old.values[old.ts_ms >= at].tolist())) == 1
        assert old.ts_ms[-1] == new.ts_ms[-1]


def test_the_gap_and_the_reset_are_there(real):
    """Stops events that are planned and not planted."""
    (gap,) = [event for event in real.events if isinstance(event, Gap)]
    (reset,) = [event for event in real.events if isinstance(event, Reset)]
    for series in real.bitbrains_series:
        if series.labels["vm_id"] == gap.vm_id:
            inside = (series.ts_ms >= traces.to_ms(gap.start)) & (series.ts_ms < traces.to_ms(gap.end))
            assert not inside.any()
        if series.labels["vm_id"] == reset.vm_id and series.kind == "counter":
            falls = series.ts_ms[1:][np.diff(series.values) < 0]
            assert len(falls) == 1
            assert 0 <= falls[0] - traces.to_ms(reset.at) < 600_000


def test_no_increase_reaches_far_across_midnight(real):
    """Stops totals that depend on how far before midnight a processor reads."""
    for series in real.bitbrains_series:
        before, after = series.ts_ms[:-1], series.ts_ms[1:]
        midnight = after - after % 86_400_000
        assert ((before >= midnight) | (midnight - before <= 900_000)).all()


def tiny(folder: Path) -> traces.TracedVm:
    """Write a trace of one VM: 1, 2, 3, 4, 5 of everything, every 5 minutes from 23:50 on."""
    rows = pd.DataFrame(
        {
            "ts": [pd.Timestamp("2013-08-01 23:50", tz="UTC") + 5 * number * MINUTE for number in range(5)],
            "vm_id": "a", "cpu_cores": 2, "cpu_usage_pct": [1.0, 2.0, 3.0, 4.0, 5.0],
            "mem_capacity_kb": 100, "mem_usage_kb": [10, 20, 30, 40, 50],
            **{column: [1.0, 2.0, 3.0, 4.0, 5.0] for column in traces.COUNTERS.values()},
        }
    )  # fmt: skip
    rows.to_parquet(folder / traces.BITBRAINS_FILE)
    return traces.TracedVm("t", "a", "a", "n")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Reset("a", BEGIN - MINUTE), "not within the trace"),
        (Reset("a", BEGIN + 21 * MINUTE), "not within the trace"),
        (Reset("a", BEGIN + 5 * MINUTE), "nobody could see"),
        (Reset("b", BEGIN + 5 * MINUTE), "not there: b"),
    ],
)
def test_events_that_cannot_be_planted_are_refused(event, message, tmp_path):
    """Stops a test that waits for an event that never happens; 2 after a reset looks like 1 more than 1."""
    with pytest.raises(ValueError, match=message):
        traces.bitbrains(tmp_path, [tiny(tmp_path)], days=2, events=[event])


def test_sizes_are_those_of_the_file(real):
    """Stops VM sizes in the wrong unit."""
    wanted = real.expected_bitbrains().groupby("vm_id").last()
    columns = {
        "libvirt_domain_info_virtual_cpus": "vcpus",
        "libvirt_domain_info_maximum_memory_bytes": "capacity_bytes",
    }
    for series in real.size_series:
        if series.name in columns:
            assert series.values[-1] == wanted.loc[series.labels["uuid"]][columns[series.name]]
        else:
            assert set(series.values.tolist()) == {traces.RUNNING}


def test_expected_totals_of_a_tiny_trace(tmp_path):
    """Stops the oracle itself from being wrong: totals worked out by hand."""
    vm = tiny(tmp_path)
    events = [Gap("a", BEGIN + 9 * MINUTE, BEGIN + 11 * MINUTE), Migration("a", BEGIN + 20 * MINUTE, "other")]
    found = expected.bitbrains_days(tmp_path, [vm], date(2013, 8, 1), 2, events)
    first, second = found.to_dict("records")
    unit = 1024 * 300
    assert (first["cpu_samples"], first["cpu_mean"], first["disk_read_bytes"]) == (2, 1.5, 2 * unit)
    assert (second["cpu_samples"], second["cpu_max"], second["memory_mean"]) == (2, 5.0, 45 * 1024)
    # 00:00 was not scraped, so its 3 came to light at 00:05 with the 4; the 5 fell between two series.
    assert second["disk_read_bytes"] == 7 * unit
