"""Bitbrains traces (Grid Workloads Archive, GWA-T-12): one file a VM, `rnd/2013-7/1.csv` for one month of VM `1`.

The header calls the timestamp milliseconds; the published files hold seconds. The size of the
numbers decides. KB are units of 1024 bytes.
"""

from pathlib import Path

from resources.monitoring.traces.delimited import Field, Layout, split_fields
from resources.monitoring.traces.rows import printable

SEPARATOR = ";"

TIME = "Timestamp [ms]"

FIELDS = {
    "ts": Field(TIME),
    "vcpus": Field("CPU cores"),
    "cpu_percent": Field("CPU usage [%]"),
    "memory_capacity_bytes": Field("Memory capacity provisioned [KB]", 1024),
    "memory_bytes": Field("Memory usage [KB]", 1024),
    "disk_read_bytes_per_second": Field("Disk read throughput [KB/s]", 1024),
    "disk_write_bytes_per_second": Field("Disk write throughput [KB/s]", 1024),
    "network_receive_bytes_per_second": Field("Network received throughput [KB/s]", 1024),
    "network_transmit_bytes_per_second": Field("Network transmitted throughput [KB/s]", 1024),
}


def is_bitbrains(header: str) -> bool:
    """Return whether `header` is the first line of such a file."""
    names = split_fields(header, SEPARATOR)
    return TIME in names and FIELDS["cpu_percent"].theirs in names


def layout(path: Path, header: str) -> Layout:
    """Return how the file is read; its name without `.csv` is the VM. Columns it lacks are missing."""
    names = split_fields(header, SEPARATOR)
    present = {ours: field for ours, field in FIELDS.items() if field.theirs in names}
    return Layout(
        separator=SEPARATOR,
        width=len(names),
        positions={ours: names.index(field.theirs) for ours, field in present.items()},
        scales={ours: field.scale for ours, field in present.items()},
        iso=False,
        vm_id=printable(path.stem),
    )
