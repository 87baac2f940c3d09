"""A small lake with planted VMs and nodes, for the analyzers to read as they do in production."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from analytics_assets.components import Component, Instance, NoParameters, Workplace
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_inventory import VM_INVENTORY
from analytics_assets.processors.vm_resources_hourly import VM_RESOURCES_HOURLY
from resources.lake.lake import Facts
from resources.lake.warehouse import QueryLimits
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import Partition

LAST_DAY = date(2026, 3, 28)
HOUR_MS = 3_600_000
TS = pa.timestamp("ms", tz="UTC")
GIB = 2**30


def processor(table):
    """Return an instance that stands for the processor of `table`, whose rows the test stores itself."""
    made = Component(table.name, "processors", "", "", NoParameters, (), table, lambda workplace, parameters: None)
    return Instance(table.name, made, NoParameters())


SAMPLES, INVENTORY, NODES = processor(VM_RESOURCES_HOURLY), processor(VM_INVENTORY), processor(SYSTEM_LOAD)


def workplace(lake, component, parameters, inputs, tenant="acme", day=LAST_DAY):
    """Return what `component` gets to make one partition; `inputs` is role -> instance."""
    named = {role: (instance,) for role, instance in inputs.items()}
    return Workplace(
        partition=Partition(tenant, day),
        instance=Instance(component.name, component, parameters, named),
        lake=lake,
        metrics=None,
        inventory=None,
        limits=QueryLimits(1000, 10, 100, 1),
        resolution_seconds=300,
        minimum_coverage=0.7,
    )


def hours_of(days, daily, cycle=0.0, noise=0.0, seed=0):
    """Return `days` x 24 hours: the values of `daily` (a number or one per day), a daily cycle and noise."""
    rng = np.random.default_rng(seed)
    base = np.repeat(np.broadcast_to(np.asarray(daily, float), days), 24)
    hour = np.arange(days * 24) % 24
    return np.maximum(base + cycle * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, noise, days * 24), 0)


def write_samples(lake, vms, days=28, tenant="acme", last=LAST_DAY, as_of_ms=None, shuffle=None):
    """Store hourly rows. `vms` is vm_id -> {metric stem: hourly values, NaN for no sample}.

    Values [hour, bucket] have a mean, a maximum and a 95th percentile; of values [hour] all are the same.
    Metrics not named are null; an hour in which a VM has no metric has no row.
    """
    for number in range(days):
        partition = Partition(tenant, last - timedelta(days - 1 - number))
        rows = {name: [] for name in VM_RESOURCES_HOURLY.column_names}
        for vm, metrics in vms.items():
            part = {stem: _summarized(values[number * 24 : number * 24 + 24]) for stem, values in metrics.items()}
            for hour in range(24):
                if all(np.isnan(values["mean"][hour]) for values in part.values()):
                    continue
                rows["vm_id"].append(vm)
                rows["ts"].append(partition.start_ms + hour * HOUR_MS)
                rows["node_id"].append("node-1")
                rows["samples_seen"].append(12)
                rows["samples_expected"].append(12)
                for stem in VM_COLUMNS:
                    for which in ("mean", "max", "p95"):
                        rows[f"{stem}_{which}"].append(part[stem][which][hour] if stem in part else np.nan)
        data = _table(VM_RESOURCES_HOURLY, rows)
        if shuffle is not None:
            data = data.take(np.random.default_rng(shuffle).permutation(data.num_rows))
        facts = Facts(as_of_ms=as_of_ms if number == days - 1 else None)
        lake.write(VM_RESOURCES_HOURLY, partition, data, facts)


def _summarized(values):
    if values.ndim == 1:
        return dict.fromkeys(("mean", "max", "p95"), values)
    return {"mean": values.mean(axis=1), "max": values.max(axis=1), "p95": np.quantile(values, 0.95, axis=1)}


def write_inventory(lake, rows, tenant="acme", day=LAST_DAY, node="node-1"):
    """Store one day's inventory of VMs on `node`.

    `rows` are (vm_id, days ago, vcpus, memory GiB, disk GiB, state[, flavour]).
    """
    partition = Partition(tenant, day)
    columns = {name: [] for name in VM_INVENTORY.column_names}
    for vm, ago, vcpus, memory, disk, state, *flavor in rows:
        columns["vm_id"].append(vm)
        columns["valid_from"].append(partition.end_ms - int(ago * 24 * HOUR_MS))
        columns["vm_name"].append(vm)
        columns["node_id"].append(node)
        columns["flavor"].append(flavor[0] if flavor else None)
        columns["vcpus"].append(vcpus)
        columns["memory_bytes"].append(None if memory is None else int(memory * GIB))
        columns["disk_bytes"].append(None if disk is None else int(disk * GIB))
        columns["state"].append(state)
    lake.write(VM_INVENTORY, partition, _table(VM_INVENTORY, columns))


def write_nodes(lake, nodes, days=28, tenant="platform", scope="node", last=LAST_DAY):
    """Store 5-minute rows. `nodes` is node_id -> (cores used each day, cores, GiB used each day, GiB)."""
    for number in range(days):
        partition = Partition(tenant, last - timedelta(days - 1 - number))
        columns = {name: [] for name in SYSTEM_LOAD.column_names}
        for node, (cores, total, memory, size) in nodes.items():
            for bucket in range(288):
                given = {
                    "node_id": node,
                    "ts": partition.start_ms + bucket * 300_000,
                    "scope": scope,
                    "cpu_percent_mean": 100 * cores[number] / total,
                    "cpu_percent_max": 100 * cores[number] / total,
                    "cpu_cores_mean": cores[number],
                    "cpu_cores_max": cores[number],
                    "cpu_cores_total": total,
                    "memory_bytes_mean": memory[number] * GIB,
                    "memory_bytes_max": memory[number] * GIB,
                    "memory_total_bytes": float(size * GIB),
                    "samples_seen": 5,
                    "samples_expected": 5,
                }
                for name, values in columns.items():
                    values.append(given.get(name))
        lake.write(SYSTEM_LOAD, partition, _table(SYSTEM_LOAD, columns))


def write_platform(lake, cores, days):
    """Store nodes of 16 cores and 64 GiB, of which 16 are in use: `cores` is node_id -> cores used; no VMs."""
    memory = np.full(days, 16.0)
    write_nodes(lake, {node: (np.full(days, used), 16, memory, 64) for node, used in cores.items()}, days=days)
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")


def _table(table, columns):
    arrays = {}
    for column in table.columns:
        kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
        values = columns[column.name]
        if pa.types.is_floating(column.type):
            arrays[column.name] = pa.array(np.array(values, dtype=float), kind, from_pandas=True)
        elif pa.types.is_timestamp(column.type):
            arrays[column.name] = pa.array(values, pa.int64()).cast(TS)
        else:
            arrays[column.name] = pa.array(values, kind)
    return pa.table(arrays)


def rows_by(table, *keys):
    """Return the rows of `table` as dictionaries, by the values of `keys`."""
    return {tuple(row[key] for key in keys): row for row in table.to_pylist()}
