"""A component as another package would offer it."""

import pyarrow as pa

from analytics_assets.components import Component, Input, NoParameters, Result, Workplace
from resources.lake.table import Column, Table

VM_HOURS = Table("vm_hours", "how many VM-hours the tenant had", (Column("hours", pa.int64(), "VM-hours"),), ("hours",))


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    rows = workplace.read("samples", ["vm_id"]).num_rows
    return Result(pa.table({"hours": pa.array([rows], pa.int64())}), workplace.facts())


COMPONENT = Component(
    "vm_hours", "analyzers", "VM-hours", "Counts VM-hours.", NoParameters,
    (Input("samples", ("vm_resources_hourly",), "hours"),), VM_HOURS, compute,
)  # fmt: skip
