"""NovaCron's metrics: the name the exporter gives, what it measures, and the column it fills.

A gauge is averaged on the grid; a counter becomes a rate. Where a source has a rate already (trace
files do), it offers the gauge named `..._bytes_per_second`, and either name fills the column.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter"]
Entity = Literal["vm", "node"]


@dataclass(frozen=True)
class Metric:
    """A metric by its exported `name`; `column` is the stem of the columns it fills, in `unit`."""

    name: str
    kind: Kind
    entity: Entity
    column: str
    unit: str
    description: str


VM_METRICS = (
    Metric("novacron_vm_cpu_usage_percent", "gauge", "vm", "cpu_percent", "percent", "CPU use, 100 = all its vCPUs"),
    Metric("novacron_vm_memory_usage_bytes", "gauge", "vm", "memory_bytes", "bytes", "memory in use"),
    Metric("novacron_vm_disk_usage_bytes", "gauge", "vm", "disk_bytes", "bytes", "disk space in use"),
    Metric(
        "novacron_vm_disk_read_bytes_total", "counter", "vm",
        "disk_read_bytes_per_second", "bytes/s", "read from disk",
    ),
    Metric(
        "novacron_vm_disk_read_bytes_per_second", "gauge", "vm",
        "disk_read_bytes_per_second", "bytes/s", "read from disk",
    ),
    Metric(
        "novacron_vm_disk_write_bytes_total", "counter", "vm",
        "disk_write_bytes_per_second", "bytes/s", "written to disk",
    ),
    Metric(
        "novacron_vm_disk_write_bytes_per_second", "gauge", "vm",
        "disk_write_bytes_per_second", "bytes/s", "written to disk",
    ),
    Metric(
        "novacron_vm_network_receive_bytes_total", "counter", "vm",
        "network_receive_bytes_per_second", "bytes/s", "received from the network",
    ),
    Metric(
        "novacron_vm_network_receive_bytes_per_second", "gauge", "vm",
        "network_receive_bytes_per_second", "bytes/s", "received from the network",
    ),
    Metric(
        "novacron_vm_network_transmit_bytes_total", "counter", "vm",
        "network_transmit_bytes_per_second", "bytes/s", "sent to the network",
    ),
    Metric(
        "novacron_vm_network_transmit_bytes_per_second", "gauge", "vm",
        "network_transmit_bytes_per_second", "bytes/s", "sent to the network",
    ),
)  # fmt: skip

NODE_METRICS = (
    Metric(
        "novacron_system_cpu_usage_percent", "gauge", "node", "cpu_percent", "percent", "CPU use, one series per CPU"
    ),
    Metric(
        "novacron_system_memory_usage_bytes", "gauge", "node", "memory_bytes", "bytes", "memory by type used, total"
    ),
    Metric(
        "novacron_system_load_average", "gauge", "node", "load_average", "", "run queue length by period 1m, 5m, 15m"
    ),
)

METRICS = {metric.name: metric for metric in (*VM_METRICS, *NODE_METRICS)}

VM_COLUMNS = tuple(dict.fromkeys(metric.column for metric in VM_METRICS))
"""The stems of a VM's measured columns, in the order the tables have them."""
