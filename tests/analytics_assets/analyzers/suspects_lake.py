"""Two days of planted VMs and nodes in a lake, alarms of the second, and the suspects found for them."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.anomaly_model.table import TABLE as ANOMALIES
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.analyzers.suspect_model.parameters import SuspectsParameters
from analytics_assets.analyzers.suspects import COMPONENT, TABLE, compute
from analytics_assets.processors.storage_utilization import STORAGE_UTILIZATION
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.lake.table import TIMESTAMP
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import LAST_DAY, processor, workplace

STEPS = 2 * 288
FIRST, LAST = 400, 409
"""Steps of the incident, on the second day."""

START_MS = Partition("acme", LAST_DAY - timedelta(1)).start_ms


def at(step):
    return START_MS + step * 300_000


def noise(seed, level=40.0, spread=2.0):
    return level + spread * np.random.default_rng(seed).standard_normal(STEPS)


def bump(values, size, first=FIRST, last=LAST):
    values = values.copy()
    values[first : last + 1] += size * np.sin(np.pi * (np.arange(last - first + 1) + 1) / (last - first + 2))
    return values


def store(lake, table, key, series, tenant, more=None, facts=None):
    """Write both days of `table`: `series` is key -> {stem: values by step}; `more` is key -> other columns."""
    for number in range(2):
        part = slice(number * 288, number * 288 + 288)
        count = len(series) * 288
        given = {
            key: [name for name in series for _ in range(288)],
            "ts": np.tile(at(0) + 300_000 * np.arange(288) + number * 86_400_000, len(series)),
            "samples_seen": [5] * count,
            "samples_expected": [5] * count,
        }
        for column in {column for values in (more or {}).values() for column in values}:
            given[column] = [more[name][column] for name in series for _ in range(288)]
        for stem in {stem for values in series.values() for stem in values}:
            missing = np.full(288, np.nan)
            given[f"{stem}_mean"] = np.concatenate(
                [values[stem][part] if stem in values else missing for values in series.values()]
            )
        arrays = {}
        for column in table.columns:
            kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
            if column.name not in given:
                arrays[column.name] = pa.nulls(count, kind)
            elif pa.types.is_timestamp(kind):
                arrays[column.name] = pa.array(given[column.name]).cast(kind)
            else:
                arrays[column.name] = pa.array(given[column.name], kind, from_pandas=True)
        lake.write(table, Partition(tenant, LAST_DAY - timedelta(1 - number)), pa.table(arrays), facts)


def vms(lake, series, tenant="acme", node="node-1", facts=None):
    placed = {vm: {"node_id": node if isinstance(node, str) else node.get(vm)} for vm in series}
    store(lake, VM_RESOURCES, "vm_id", series, tenant, placed, facts)


def alarm(lake, *rows, tenant="acme", table=ANOMALIES, **more):
    """Each row is (kind, entity, metric, first step, last step, score); `more` are columns of all rows."""
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 6
    given = {
        "kind": ["together" if metric == TOGETHER else "metric" for metric in columns[2]],
        "entity_kind": columns[0],
        "entity_id": columns[1],
        "metric": columns[2],
        "start": [at(step) for step in columns[3]],
        "end": [at(step + 1) for step in columns[4]],
        "score": columns[5],
        "status": ["ok"] * len(rows),
        "unit": [""] * len(rows),
        "ongoing": [False] * len(rows),
        **{name: [0] * len(rows) for name in ("points", "samples_seen", "samples_expected")},
        **{name: [value] * len(rows) for name, value in more.items()},
    }
    arrays = {}
    for column in ANOMALIES.columns:
        kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
        values = given.get(column.name, [None] * len(rows))
        if pa.types.is_timestamp(kind):
            arrays[column.name] = pa.array(values, pa.int64()).cast(TIMESTAMP)
        else:
            arrays[column.name] = pa.array(values, kind)
    lake.write(table, Partition(tenant, LAST_DAY), pa.table(arrays))


def found(lake, tenant="acme", parameters=None, roles=("anomalies",), more_anomalies=()):
    tables = {
        "samples": VM_RESOURCES,
        "anomalies": ANOMALIES,
        "nodes": SYSTEM_LOAD,
        "storage": STORAGE_UTILIZATION,
    }
    inputs = {role: processor(tables[role]) for role in ("samples", *roles)}
    parameters = parameters or SuspectsParameters()
    with workplace(lake, COMPONENT, parameters, inputs, tenant) as place:
        if more_anomalies:
            place.instance.inputs["anomalies"] += tuple(processor(table) for table in more_anomalies)
        result = compute(place, parameters)
    return result, TABLE.conform(result.data).to_pylist()


def neighbours(lake, after=0.0, **more):
    """The backup's CPU disturbs web's; calm lives beside them, far on another node and moves likewise.

    `after` is added to all CPUs once the incident is over.
    """
    later = np.where(np.arange(STEPS) > LAST, after, 0)
    series = {
        "backup": {
            "cpu_percent": bump(noise(1), 60) + later,
            "disk_read_bytes_per_second": bump(noise(5, 1e6, 1e5), 5e7),
        },
        "calm": {"cpu_percent": noise(3) + later},
        "far": {"cpu_percent": bump(noise(4), 60) + later},
        "web": {"cpu_percent": bump(noise(2), 25) + later, "memory_bytes": noise(6, 4e9, 1e7)},
    }
    vms(lake, series, node={"backup": "node-1", "calm": "node-1", "web": "node-1", "far": "node-2"}, **more)
