"""Sizes of Bitbrains VMs for the 30 days after two origins: `analyze sizes` once for each origin and resource."""

import re
from pathlib import Path

import pandas as pd

from benchmarks.quality.measures import Measure, SetReport
from benchmarks.quality.processes import analyze, score

RESOURCES = {"cpu": ("cpu_usage_mhz", "cpu_capacity_mhz", 1.33), "mem": ("mem_usage_kb", "mem_capacity_kb", 1.40)}
"""Resource -> its usage and capacity, and the most that all sizes together may be of the future 99th percentiles."""

ORIGIN_DAYS = (30, 60)
DAYS = 30
LINE = re.compile(
    r"size (?P<resource>\w+) submitted\s+n=(?P<count>\d+) viol (?P<above>\S+) ok1 (?P<fine>\S+) waste (?P<total>\S+)"
)


def run(data: Path, folder: Path) -> SetReport:
    """Size all VMs and return the figures."""
    samples = pd.read_parquet(data / "bitbrains_5min.parquet")
    first = samples["ts"].min().ceil("D")
    on = samples[samples["cpu_cores"] > 0]
    found = []
    for days in ORIGIN_DAYS:
        origin = first + pd.Timedelta(days=days)
        for resource, (usage, capacity, _) in RESOURCES.items():
            path, output = folder / "usage.parquet", folder / "sizes.parquet"
            known = on.loc[on["ts"] < origin, ["vm_id", "ts", usage, capacity]]
            known.set_axis(["series", "ts", "value", "capacity"], axis=1).to_parquet(path, index=False)
            analyze("sizes", path, "--days", DAYS, "--output", output)
            sizes = pd.read_parquet(output).rename(columns={"series": "vm_id"})
            found.append(sizes.assign(origin=origin, resource=resource))
    prediction = folder / "size-prediction.parquet"
    sized = pd.concat(found)
    sized[["vm_id", "origin", "resource", "size", "risk"]].to_parquet(prediction)
    printed = score(data, "capacity_score.py", "score", prediction)
    return SetReport(
        "Usage and provisioned capacity of each VM strictly before the origin, while it was switched on.",
        measures(printed),
        [
            f"novacron-analytics analyze sizes usage.parquet --days {DAYS} --output sizes.parquet",
            "python score/capacity_score.py . score prediction.parquet",
        ],
        printed,
    )


def measures(printed: str) -> list[Measure]:
    """Return what is asked, from what the scorer printed."""
    found = []
    for line in (match.groupdict() for match in map(LINE.match, printed.splitlines()) if match):
        name, most = line["resource"], RESOURCES[line["resource"]][2]
        found += [
            Measure(f"{name}: share of samples above the size", float(line["above"]), high=0.005),
            Measure(f"{name}: share of VMs with at most 1 % above", float(line["fine"]), low=0.95),
            Measure(f"{name}: all sizes, times the future 99th percentiles", float(line["total"]), high=most),
        ]
    return found
