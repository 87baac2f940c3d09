"""Hand-made trace files, and what a test asks of a store."""

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from resources.monitoring.traces.importing import ImportReport, import_traces
from resources.monitoring.traces.source import TraceFiles

TODAY = date(2026, 1, 1)
START_S = 1_372_636_800
"""2013-07-01 00:00 UTC."""

CPU = "novacron_vm_cpu_usage_percent"
MEMORY = "novacron_vm_memory_usage_bytes"

BITBRAINS_HEADER = ";\t".join(
    (
        "Timestamp [ms]",
        "CPU cores",
        "CPU capacity provisioned [MHZ]",
        "CPU usage [MHZ]",
        "CPU usage [%]",
        "Memory capacity provisioned [KB]",
        "Memory usage [KB]",
        "Disk read throughput [KB/s]",
        "Disk write throughput [KB/s]",
        "Network received throughput [KB/s]",
        "Network transmitted throughput [KB/s]",
    )
)


def bitbrains_line(ts: int, cpu: float = 12.5, cores: int = 4, memory_kb: float = 1000) -> str:
    return ";\t".join(map(str, (ts, cores, 11704.0, 100.0, cpu, 8192, memory_kb, 1, 2, 3, 4)))


def write_bitbrains(path: Path, lines: Sequence[str], end: str = "\n", bom: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = end.join([BITBRAINS_HEADER, *lines]) + end
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    return path


def samples_of(count: int, first: int = 0) -> list[str]:
    """Return lines 300 s apart, each with its own CPU percentage, so that a swap would be seen."""
    return [bitbrains_line(START_S + 300 * number, cpu=number / 8) for number in range(first, first + count)]


def run(root: Path, *paths: Path, tenant: str = "acme", **options: Any) -> ImportReport:
    return import_traces(root, tenant, paths, today=options.pop("today", TODAY), **options)


def tree(root: Path) -> dict[str, str]:
    """Return every file below `root`, hidden ones too, with its content's hash and when it was written."""
    return {
        str(path.relative_to(root)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def contents(root: Path) -> dict[str, str]:
    """Return every file below `root` with its content's hash."""
    return {name: state.split()[0] for name, state in tree(root).items()}


def series(root: Path, metric: str = CPU, tenant: str = "acme") -> dict[str, list[tuple[int, float]]]:
    """Return all stored samples of `metric` by VM."""
    found: dict[str, list[tuple[int, float]]] = {}
    for batch in TraceFiles(root).samples(tenant, [metric], 0, 4_102_444_800_000):
        for number, labels in enumerate(batch.labels):
            part = slice(batch.offsets[number], batch.offsets[number + 1])
            pairs = zip(batch.ts_ms[part].tolist(), batch.values[part].tolist(), strict=True)
            found.setdefault(labels["vm_id"], []).extend(pairs)
    return found
