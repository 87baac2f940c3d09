"""Real traces as NovaCron's exporter would have shown them: its metric names, its labels, real values.

PlanetLab has CPU only. Bitbrains has rates in KB/s (units of 1024 bytes, as the importer of trace
files takes them); a counter is their running sum times the seconds since the sample before, in whole
bytes. CPU is rounded to the 2 digits that the published file has, rates to its 1 digit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.servers.events import Event, Gap, Migration, Reset
from tests.servers.series import Kind, Series

PLANETLAB_FILE = "planetlab_cpu.parquet"
BITBRAINS_FILE = "bitbrains_5min.parquet"
PLANETLAB_DAY = date(2011, 3, 3)
BITBRAINS_FIRST = date(2013, 8, 1)
BITBRAINS_DAYS = 30
BITBRAINS_TENANTS = ("leiden", "delft")

CPU = "novacron_vm_cpu_usage_percent"
MEMORY = "novacron_vm_memory_usage_bytes"
COUNTERS = {
    "novacron_vm_disk_read_bytes_total": "disk_read_kbps",
    "novacron_vm_disk_write_bytes_total": "disk_write_kbps",
    "novacron_vm_network_receive_bytes_total": "net_rx_kbps",
    "novacron_vm_network_transmit_bytes_total": "net_tx_kbps",
}
"""Metric -> column of the Bitbrains file."""
SIZES = {
    "libvirt_domain_info_virtual_cpus": ("cpu_cores", 1),
    "libvirt_domain_info_maximum_memory_bytes": ("mem_capacity_kb", 1024),
}
"""What a libvirt exporter shows of a VM's size -> column of the Bitbrains file and its unit."""
STATE = "libvirt_domain_state_code"
VM_COUNT = "novacron_vm_count"
COUNT_MS = 300_000
"""Milliseconds between two counts of VMs; of a VM that was silent for two of these nothing is known."""
RUNNING, SHUT_OFF = 1.0, 5.0
FIRST_SECONDS = 300
"""How long a trace's first sample is taken to have counted already."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TracedVm:
    """A VM of a trace: whose it is and where it starts."""

    tenant: str
    vm_id: str
    vm_name: str
    node_id: str

    def labels(self, node_id: str | None = None) -> dict[str, str]:
        return {
            "vm_id": self.vm_id,
            "vm_name": self.vm_name,
            "tenant_id": self.tenant,
            "node_id": node_id or self.node_id,
        }


def planetlab_vms(data: Path, count: int = 100, day: date = PLANETLAB_DAY, tenant: str = "planetlab") -> list[TracedVm]:
    """Return `count` of the day's VMs, spread over their names; ids with a blank in them are among them."""
    start, end = window_ms(day, 1)
    names = sorted(_read(data / PLANETLAB_FILE, ["vm_id"], start, end)["vm_id"].unique().to_pylist())
    blank = [name for name in names if " " in name][: max(1, count // 10)]
    chosen = sorted({*blank, *_spread([name for name in names if name not in blank], count - len(blank))})
    return [
        TracedVm(tenant, name, name.split("_")[-1], f"planetlab-{position % 10:02d}")
        for position, name in enumerate(chosen)
    ]


def planetlab(data: Path, vms: Sequence[TracedVm], day: date = PLANETLAB_DAY) -> list[Series]:
    """Return the CPU series of `vms` on a day: 288 samples each."""
    start, end = window_ms(day, 1)
    table = _read(data / PLANETLAB_FILE, ["ts", "vm_id", "cpu_percent"], start, end, [vm.vm_id for vm in vms])
    rows = _by_vm(table)
    return [Series(CPU, vm.labels(), rows[vm.vm_id]["ts"], rows[vm.vm_id]["cpu_percent"]) for vm in vms]


def bitbrains_vms(data: Path, count: int = 12, tenants: Sequence[str] = BITBRAINS_TENANTS) -> list[TracedVm]:
    """Return `count` VMs, spread over all, in turn of one tenant and the next; tenants share the nodes."""
    names = sorted(pq.read_table(data / BITBRAINS_FILE, columns=["vm_id"])["vm_id"].unique().to_pylist())
    return [
        TracedVm(tenants[position % len(tenants)], name, f"vm-{name}", f"rack-{position // len(tenants) % 4:02d}")
        for position, name in enumerate(_spread(names, count))
    ]


def bitbrains(
    data: Path,
    vms: Sequence[TracedVm],
    first: date = BITBRAINS_FIRST,
    days: int = BITBRAINS_DAYS,
    events: Iterable[Event] = (),
) -> list[Series]:
    """Return six series of each VM, and six more for each migration: CPU, memory, and four counters."""
    start, end = window_ms(first, days)
    columns = ["ts", "vm_id", "cpu_usage_pct", "mem_usage_kb", *COUNTERS.values()]
    rows = _by_vm(_read(data / BITBRAINS_FILE, columns, start, end, [vm.vm_id for vm in vms]))
    happened = list(events)
    strangers = {event.vm_id for event in happened} - {vm.vm_id for vm in vms}
    if strangers:
        raise ValueError(f"events of VMs that are not there: {', '.join(sorted(strangers))}")
    return [
        series
        for vm in vms
        for series in _of_vm(vm, rows[vm.vm_id], [event for event in happened if event.vm_id == vm.vm_id])
    ]


def bitbrains_sizes(
    data: Path, vms: Sequence[TracedVm], first: date = BITBRAINS_FIRST, days: int = BITBRAINS_DAYS
) -> list[Series]:
    """Return the sizes of `vms` as a libvirt exporter on their nodes shows them; `uuid` is the VM's id."""
    start, end = window_ms(first, days)
    columns = ["ts", "vm_id", *(column for column, _ in SIZES.values())]
    rows = _by_vm(_read(data / BITBRAINS_FILE, columns, start, end, [vm.vm_id for vm in vms]))
    found = []
    for vm in vms:
        labels = {
            **vm.labels(), "uuid": vm.vm_id, "domain": vm.vm_name, "job": "libvirt", "instance": f"{vm.node_id}:9177",
        }  # fmt: skip
        theirs = rows[vm.vm_id]
        shown = {name: theirs[column] * unit for name, (column, unit) in SIZES.items()}
        shown[STATE] = np.where(theirs["cpu_cores"] > 0, RUNNING, SHUT_OFF)
        found += [Series(name, labels, theirs["ts"], values) for name, values in shown.items()]
    return found


def vm_counts(sizes: Sequence[Series], first: date = BITBRAINS_FIRST, days: int = BITBRAINS_DAYS) -> list[Series]:
    """Return how many VMs run, and how many are stopped, on each node: by the states in `sizes`."""
    ts = np.arange(*window_ms(first, days), COUNT_MS, dtype=np.int64)
    states = [one for one in sizes if one.name == STATE]
    found = []
    for tenant, node in sorted({(one.labels["tenant_id"], one.labels["node_id"]) for one in states}):
        shown = []
        for one in states:
            if (one.labels["tenant_id"], one.labels["node_id"]) == (tenant, node):
                at = np.searchsorted(one.ts_ms, ts, "right") - 1
                fresh = (at >= 0) & (ts - one.ts_ms[np.maximum(at, 0)] <= 2 * COUNT_MS)
                shown.append(np.where(fresh, one.values[at], np.nan))
        for status, code in (("running", RUNNING), ("stopped", SHUT_OFF)):
            labels = {"tenant_id": tenant, "node_id": node, "status": status}
            found.append(Series(VM_COUNT, labels, ts, np.sum(np.array(shown) == code, axis=0).astype(np.float64)))
    return found


def planted_events(vms: Sequence[TracedVm], first: date = BITBRAINS_FIRST) -> tuple[Event, ...]:
    """Return a reset of the first VM, a migration of the second and a gap of the third, on days 3, 4 and 5."""
    return (
        Reset(vms[0].vm_id, _at(first, 2, 10)),
        Migration(vms[1].vm_id, _at(first, 3, 12), f"{vms[1].node_id}-new"),
        Gap(vms[2].vm_id, _at(first, 4, 6), _at(first, 4, 8)),
    )


def window_ms(first: date, days: int) -> tuple[int, int]:
    """Return `[start, end)` of so many days."""
    return to_ms(_at(first, 0)), to_ms(_at(first, days))


def to_ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def _at(first: date, days: int, hour: int = 0) -> datetime:
    return datetime.combine(first + timedelta(days=days), time(hour), UTC)


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Return `count` of `names`, evenly; all where there are fewer."""
    return [names[index] for index in sorted({*np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)})]


def _read(file: Path, columns: list[str], start: int, end: int, vms: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of `[start, end)`, of all VMs or of some."""
    table = pq.read_table(file, columns=sorted({*columns, "ts"}))
    table = table.set_column(table.column_names.index("vm_id"), "vm_id", table["vm_id"].cast("string"))
    table = table.set_column(table.column_names.index("ts"), "ts", table["ts"].cast(pa.timestamp("ms", "UTC")))
    ts = table["ts"].cast("int64")
    keep = pc.and_(pc.greater_equal(ts, start), pc.less(ts, end))
    if vms is not None:
        keep = pc.and_(keep, pc.is_in(table["vm_id"], value_set=pa.array(vms, pa.string())))
    rows = table.filter(keep)
    if not len(rows):
        raise ValueError(f"{file} has no rows of what was asked for")
    return rows


def _by_vm(table: pa.Table) -> dict[str, dict[str, NDArray]]:
    """Return each VM's columns in order of time: `ts` in milliseconds, the others as float64."""
    table = table.sort_by([("vm_id", "ascending"), ("ts", "ascending")])
    names = np.array(table["vm_id"].to_pylist(), dtype=object)
    columns = {
        name: table[name].cast("int64" if name == "ts" else "float64").to_numpy()
        for name in table.column_names
        if name != "vm_id"
    }
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    return {
        names[start]: {name: values[start:stop] for name, values in columns.items()}
        for start, stop in zip(starts, [*starts[1:], len(names)], strict=True)
    }


def _of_vm(vm: TracedVm, rows: dict[str, NDArray], events: Sequence[Event]) -> list[Series]:
    ts = rows["ts"]
    kept = np.ones(len(ts), bool)
    for gap in (event for event in events if isinstance(event, Gap)):
        kept &= (ts < to_ms(gap.start)) | (ts >= to_ms(gap.end))
    zeros = [_index(ts, event.at) for event in events if isinstance(event, Reset)]
    moves = [(_index(ts, event.at), event.node_id) for event in events if isinstance(event, Migration)]
    values: list[tuple[str, Kind, FloatArray]] = [
        (CPU, "gauge", np.round(rows["cpu_usage_pct"], 2)),
        (MEMORY, "gauge", rows["mem_usage_kb"] * 1024),
    ]
    seconds = np.diff(ts, prepend=ts[0] - FIRST_SECONDS * 1000) / 1000
    for name, column in COUNTERS.items():
        moved = np.rint(np.round(rows[column], 1) * 1024 * seconds)
        values.append((name, "counter", _counted(moved, [*zeros, *(index for index, _ in moves)], vm.vm_id, name)))
    stays = [(0, vm.node_id), *sorted(moves)]
    found = []
    for name, kind, read in values:
        for number, (begin, node) in enumerate(stays):
            end = stays[number + 1][0] if number + 1 < len(stays) else len(ts)
            shown = read[begin:].copy()
            shown[end - begin :] = read[end - 1]  # a series that was left stays as it was
            here = kept[begin:]
            found.append(Series(name, vm.labels(node), ts[begin:][here], shown[here], kind))
    return found


def _index(ts: IntArray, at: datetime) -> int:
    """Return the first sample that is not before `at`."""
    index = int(np.searchsorted(ts, to_ms(at)))
    if not 0 < index < len(ts):
        raise ValueError(f"{at} is not within the trace")
    return index


def _counted(moved: FloatArray, zeros: Sequence[int], vm_id: str, name: str) -> FloatArray:
    """Return the running sum of `moved`, beginning again at zero before each sample of `zeros`."""
    counted = np.cumsum(moved)
    for zero in sorted(zeros):
        counted[zero:] = np.cumsum(moved[zero:])
        if moved[zero] and counted[zero] >= counted[zero - 1]:
            raise ValueError(f"nobody could see that {name} of {vm_id} began again: plant that elsewhere or later")
    return counted
