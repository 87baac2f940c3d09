"""Files for the tests of `analyze`, and how to call it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.portal.command import Done, run


def analyze(command: str, path: Path, *options: object) -> Done:
    return run("analyze", command, path, *options)


def summary(command: str, path: Path, *options: object) -> dict[str, Any]:
    """Return what the command tells programs; it must succeed."""
    done = analyze(command, path, *options, "--json")
    assert done.code == 0, done.err
    told: dict[str, Any] = json.loads(done.out)
    return told


def write(path: Path, rows: pd.DataFrame) -> Path:
    """Write rows as the path's ending says."""
    if path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        rows.to_csv(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def daily(name: str, days: int, seed: int = 0, minutes: int = 5, level: float = 50.0) -> pd.DataFrame:
    """A series with a daily cycle and a little noise from Monday 2026-03-02 on."""
    count = days * 24 * 60 // minutes
    ts = pd.Timestamp("2026-03-02", tz="UTC") + np.arange(count) * pd.Timedelta(minutes=minutes)
    cycle = 0.4 * level * np.sin(2 * np.pi * np.arange(count) * minutes / 1440)
    noise = 0.02 * level * np.random.default_rng(seed).standard_normal(count)
    return pd.DataFrame({"series": name, "ts": ts, "value": level + cycle + noise})
