"""What a day's tables must say about the traces, computed a second time: slowly, simply, and from the
source files alone. Nothing of the software that is tested is used here.

One row per tenant, VM and UTC day:

- `cpu_samples`, `cpu_sum`, `cpu_mean`, `cpu_max` (percent) of the day's samples; `cpu_max` is the peak;
- `memory_mean`, `memory_max` in bytes (Bitbrains only);
- `vcpus`, `capacity_bytes`: its size by the day's last sample (Bitbrains only);
- `disk_read_bytes`, `disk_write_bytes`, `network_receive_bytes`, `network_transmit_bytes`: what the
  counters grew by, each increase counted on the day of the sample that it ends at.

The first sample of a series ends no increase.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas as pd

from tests.servers.events import Event, Gap, Migration
from tests.servers.traces import BITBRAINS_FILE, PLANETLAB_FILE, TracedVm

BYTES = {
    "disk_read_bytes": "disk_read_kbps",
    "disk_write_bytes": "disk_write_kbps",
    "network_receive_bytes": "net_rx_kbps",
    "network_transmit_bytes": "net_tx_kbps",
}


def planetlab_days(data: Path, vms: Sequence[TracedVm], day: date) -> pd.DataFrame:
    """Return the totals of one day of PlanetLab."""
    file = pd.read_parquet(data / PLANETLAB_FILE)
    file = file[file["ts"].dt.date == day]
    rows = []
    for vm in vms:
        theirs = file[file["vm_id"] == vm.vm_id]
        rows.append(
            {
                "tenant": vm.tenant,
                "vm_id": vm.vm_id,
                "day": day,
                "cpu_samples": len(theirs),
                "cpu_sum": float(theirs["cpu_percent"].sum()),
                "cpu_mean": float(theirs["cpu_percent"].mean()),
                "cpu_max": float(theirs["cpu_percent"].max()),
            }
        )
    return pd.DataFrame(rows)


def bitbrains_days(
    data: Path, vms: Sequence[TracedVm], first: date, days: int, events: Iterable[Event] = ()
) -> pd.DataFrame:
    """Return the totals of so many days of Bitbrains, after what the `events` did."""
    file = pd.read_parquet(data / BITBRAINS_FILE)
    start = datetime.combine(first, time(0), UTC)
    file = file[(file["ts"] >= start) & (file["ts"] < start + timedelta(days=days))]
    happened = list(events)
    rows = []
    for vm in vms:
        theirs = _seen(file[file["vm_id"] == vm.vm_id], [event for event in happened if event.vm_id == vm.vm_id])
        for day, that_day in theirs.groupby("day"):
            samples = that_day[that_day["scraped"]]
            rows.append(
                {
                    "tenant": vm.tenant,
                    "vm_id": vm.vm_id,
                    "day": day,
                    "cpu_samples": len(samples),
                    "cpu_sum": samples["cpu"].sum(),
                    "cpu_mean": samples["cpu"].mean(),
                    "cpu_max": samples["cpu"].max(),
                    "memory_mean": samples["memory"].mean(),
                    "memory_max": samples["memory"].max(),
                    "vcpus": that_day["vcpus"].iloc[-1],
                    "capacity_bytes": that_day["capacity"].iloc[-1],
                    **{name: that_day[name].sum() for name in BYTES},
                }
            )
    return pd.DataFrame(rows)


def _seen(rows: pd.DataFrame, events: Sequence[Event]) -> pd.DataFrame:
    """Return a VM's samples with the bytes moved before each, and the day on which these came to light."""
    rows = rows.sort_values("ts").reset_index(drop=True)
    seconds = rows["ts"].diff().dt.total_seconds()
    seen = pd.DataFrame({"ts": rows["ts"], "scraped": True})
    seen["cpu"] = rows["cpu_usage_pct"].astype("float64").round(2)
    seen["memory"] = rows["mem_usage_kb"].astype("float64") * 1024
    seen["vcpus"] = rows["cpu_cores"].astype("int64")
    seen["capacity"] = rows["mem_capacity_kb"].astype("int64") * 1024
    for name, column in BYTES.items():
        moved = (rows[column].astype("float64").round(1) * 1024 * seconds).round()
        seen[name] = moved.fillna(0)  # before the first sample nobody looked
    for event in events:
        if isinstance(event, Gap):
            seen.loc[(seen["ts"] >= event.start) & (seen["ts"] < event.end), "scraped"] = False
        if isinstance(event, Migration):
            first_of_new = (seen["ts"] >= event.at).idxmax()
            seen.loc[first_of_new, list(BYTES)] = 0
    # What was moved while nobody looked is in the next sample that somebody took.
    seen["day"] = seen["ts"].where(seen["scraped"]).bfill().dt.date
    return seen
