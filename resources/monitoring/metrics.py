"""NovaCron's metrics: the name the exporter gives, what it measures, and the column it fills.

A gauge is averaged on the grid; a counter becomes a rate; a histogram is exposed as the counters
`..._bucket`, `..._sum` and `..._count`. VM series carry `tenant_id`; those of nodes, storage tiers
and links carry none and belong to the platform. Where a source has a rate already (trace
files do), it offers the gauge named `..._bytes_per_second`, and either name fills the column.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
Entity = Literal["vm", "node", "tier", "interface", "link", "tenant"]


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
    Metric("novacron_system_disk_usage_bytes", "gauge", "node", "disk_bytes", "bytes", "disk in use by mountpoint"),
)

STORAGE_METRICS = (
    Metric("novacron_storage_usage_bytes", "gauge", "tier", "used_bytes", "bytes", "space in use"),
    Metric("novacron_storage_iops", "gauge", "tier", "iops", "1/s", "operations by operation read, write"),
    Metric(
        "novacron_storage_throughput_bytes_per_second", "gauge", "tier",
        "throughput_bytes_per_second", "bytes/s", "throughput by direction read, write",
    ),
    Metric("novacron_storage_latency_seconds", "histogram", "tier", "latency_seconds", "s", "latency by operation"),
)  # fmt: skip

NETWORK_METRICS = (
    Metric(
        "novacron_network_bandwidth_bytes_per_second", "gauge", "interface",
        "bandwidth_bytes_per_second", "bytes/s", "traffic of an interface by direction",
    ),
    Metric("novacron_network_latency_seconds", "histogram", "link", "latency_seconds", "s", "latency between nodes"),
    Metric("novacron_network_packet_loss_rate", "gauge", "link", "packet_loss_rate", "", "share of packets lost"),
)  # fmt: skip

COUNT_METRICS = (
    Metric("novacron_vm_count", "gauge", "tenant", "vm_count", "", "VMs by status and node"),
    Metric("novacron_vm_migrations_total", "counter", "link", "migrations", "", "migrations between nodes"),
)

METRICS = {
    metric.name: metric
    for metric in (
        *VM_METRICS, *NODE_METRICS, *STORAGE_METRICS, *NETWORK_METRICS, *COUNT_METRICS,
    )
}  # fmt: skip
"""Every metric by its name; a histogram by its family's name."""

VM_COLUMNS = tuple(dict.fromkeys(metric.column for metric in VM_METRICS))
"""The stems of a VM's measured columns, in the order the tables have them."""
