"""The inputs of the benchmarks: a simulated fleet of one tenant, and hourly history for it."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.assets import compute_partition
from analytics_assets.components import Instance
from analytics_assets.pipelines.graph import find_pipeline
from analytics_assets.processors.vm_resources_hourly import VM_RESOURCES_HOURLY
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Facts, Lake
from resources.lake.table import TIMESTAMP, Table
from resources.partition import Partition
from resources.settings import Settings, load_settings

LAST_DAY = date(2026, 2, 28)
TENANT = "acme"


def make_home(folder: Path, vms: int, interval_seconds: int = 300) -> Settings:
    """Return the settings of a home with one simulated tenant of `vms` VMs for 28 days."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "analytics.toml").write_text(
        'source = "simulated"\nsimulated_tenants = 1\nsimulated_days = 28\n'
        f"simulated_vms = {vms}\nsimulated_first_day = {LAST_DAY - timedelta(days=27)}\n"
        f"simulated_interval_seconds = {interval_seconds}\n"
    )
    return load_settings(folder, {})


def graph(settings: Settings) -> list[Instance]:
    """Return the instances of the daily graph, each after what it reads."""
    return list(find_pipeline(settings, "daily-analytics").instances)


def compute(instance: Instance, settings: Settings, day: date = LAST_DAY) -> None:
    """Compute and store one partition of `instance` without Dagster around it."""
    home = AnalyticsHome(home=str(settings.home))
    compute_partition(instance, Partition(TENANT, day), settings, home.lake(), home)


def store_history(settings: Settings, table: Table, days: int) -> None:
    """Store `days` days before the last one by repeating its rows, shifted in time and scaled by a seeded factor.

    Measuring reads of history does not need every day simulated, only rows of the same shape.
    """
    lake = Lake(settings.lake_root)
    whole = lake.read_day(table, Partition(TENANT, LAST_DAY))
    entity = whole.column(table.primary_key[0]).combine_chunks()
    row_vm = np.asarray(entity.indices)
    for back in range(1, days + 1):
        random = np.random.default_rng([back])
        factor = random.uniform(0.9, 1.1, len(entity.dictionary)).astype(np.float32)[row_vm]
        columns = []
        for column in table.columns:
            values = whole.column(column.name)
            if column.type == TIMESTAMP:
                values = pc.subtract(values.cast(pa.int64()), back * 86_400_000).cast(TIMESTAMP)
            elif column.type == pa.float32():
                values = pc.multiply(values, pa.array(factor)).cast(pa.float32())
            columns.append(values)
        data = pa.table(dict(zip(table.column_names, columns, strict=True)))
        day = LAST_DAY - timedelta(days=back)
        facts = lake.footer(table.name, Partition(TENANT, LAST_DAY))[1]
        stored = Facts(
            Partition(TENANT, day).end_ms, samples_seen=facts.samples_seen, samples_expected=facts.samples_expected
        )
        lake.write(table, Partition(TENANT, day), data, stored)


def history_of(settings: Settings, days: int = 28) -> None:
    """Compute the last day's processors and store `days - 1` days of hourly history before it."""
    for instance in graph(settings):
        if instance.component.stage == "processors":
            compute(instance, settings)
    store_history(settings, VM_RESOURCES_HOURLY, days - 1)
