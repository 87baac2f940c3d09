"""Fifteen days of planted VMs in a lake, and what is found in the last of them."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.anomalies import COMPONENT, TABLE, compute
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.lake.lake import Facts
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import INVENTORY, LAST_DAY, processor, workplace

PER_DAY = 288
DAYS = 15
START_MS = Partition("acme", LAST_DAY - timedelta(DAYS - 1)).start_ms
TODAY = (DAYS - 1) * PER_DAY
"""The step at which the judged day begins."""

GIVEN = AnomaliesParameters(window_days=DAYS - 1, together=False)


def day_and_night(seed=0, noise=1.0):
    """CPU of an ordinary VM over the window and the day, in percent."""
    steps = np.arange(DAYS * PER_DAY)
    cycle = 20 * np.sin(steps / PER_DAY * 2 * np.pi)
    return 40 + cycle + noise * np.random.default_rng([7, seed]).standard_normal(len(steps))


def store(lake, vms, node="node-1", tenant="acme", days=range(DAYS), as_of_ms=None):
    """Store five-minute rows of `vms`: vm_id -> {stem: values by step}, NaN for no sample."""
    for number in days:
        part = slice(number * PER_DAY, (number + 1) * PER_DAY)
        ids, arrays = sorted(vms), {}
        for column in VM_RESOURCES.columns:
            stem = column.name.rpartition("_")[0]
            kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
            if column.name == "vm_id":
                values = np.repeat(ids, PER_DAY)
            elif column.name == "node_id":
                values = [node if isinstance(node, str) else node[vm] for vm in ids for _ in range(PER_DAY)]
            elif column.name == "ts":
                values = np.tile(START_MS + 300_000 * np.arange(PER_DAY) + number * 86_400_000, len(ids))
            elif column.name in ("samples_seen", "samples_expected"):
                values = np.full(len(ids) * PER_DAY, 5)
            else:
                nothing = np.full(PER_DAY, np.nan)
                values = np.concatenate([vms[vm][stem][part] if stem in vms[vm] else nothing for vm in ids])
            made = pa.array(values, pa.int64()) if pa.types.is_timestamp(kind) else pa.array(values)
            arrays[column.name] = pa.array(values, kind, from_pandas=True) if kind == pa.float32() else made.cast(kind)
        data = pa.table(arrays)
        there = np.zeros(data.num_rows, bool)
        for stem in {stem for metrics in vms.values() for stem in metrics}:
            there |= np.asarray(data.column(f"{stem}_mean").is_valid())
        facts = Facts(as_of_ms=as_of_ms if number == DAYS - 1 else None)
        lake.write(VM_RESOURCES, Partition(tenant, LAST_DAY - timedelta(DAYS - 1 - number)), data.filter(there), facts)


def found(lake, parameters=GIVEN, tenant="acme", inventory=False):
    inputs = {"samples": processor(VM_RESOURCES), **({"inventory": INVENTORY} if inventory else {})}
    with workplace(lake, COMPONENT, parameters, inputs, tenant) as place:
        result = compute(place, parameters)
    return result, TABLE.conform(result.data).to_pylist()


def answers(rows):
    return [row for row in rows if row["status"] == "ok"]
