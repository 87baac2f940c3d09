"""The sizes against what came: traces of 90 real VMs, at days 30 and 60, with the next 30 days as the future."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from analytics_assets.kernels.sizing.series import series_sizes

MONTH = pd.Timedelta(days=30)
ENOUGH = 20 * 288
COLUMNS = {"cpu": ("cpu_usage_mhz", "cpu_capacity_mhz"), "memory": ("mem_usage_kb", "mem_capacity_kb")}


@pytest.mark.parametrize(("resource", "total"), [("cpu", 1.33), ("memory", 1.40)])
def test_sizes_hold_for_the_next_month(shared_data, resource, total):
    """Stops a change of the rule that starves VMs, or that wastes what it was to save."""
    use, size = COLUMNS[resource]
    rows = pd.read_parquet(
        shared_data / "bitbrains_5min.parquet", columns=["ts", "vm_id", "cpu_cores", use, size]
    ).query("cpu_cores > 0")
    above, sizes, needs = [], [], []
    for day in (30, 60):
        now = rows.ts.min().ceil("D") + pd.Timedelta(days=day)
        history, future = rows[rows.ts < now], rows[(rows.ts >= now) & (rows.ts < now + MONTH)]
        found = series_sizes(
            pa.chunked_array([pa.array(history.vm_id, pa.string())]),
            history.ts.astype("datetime64[ms, UTC]").astype("int64").to_numpy(),
            history[use].to_numpy(float),
            history[size].to_numpy(float),
            30,
        ).to_pandas()
        later = dict(tuple(future.groupby("vm_id")[use]))
        for row in found.itertuples():
            came = later.get(row.series, pd.Series(dtype=float)).to_numpy(float)
            if row.samples >= ENOUGH and len(came) >= ENOUGH:
                above.append(np.mean(came > row.size))
                sizes.append(row.size)
                needs.append(np.quantile(came, 0.99))
    assert len(above) == 165
    assert np.mean(above) <= 0.005
    assert np.mean(np.array(above) <= 0.01) >= 0.95
    assert sum(sizes) / sum(needs) <= total
