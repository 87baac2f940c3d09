"""The forecasts on traces of real VMs: better than repeating yesterday, with intervals that hold."""

import numpy as np
import pytest

from analytics_assets.kernels.forecast.forecasts import forecast
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY


@pytest.fixture(scope="module")
def hourly_cpu(shared_data):
    """CPU percent [VM, hour] of whole days from the first one on."""
    path = shared_data / "bitbrains_5min.parquet"
    if not path.exists():
        pytest.skip(f"no real traces: {path} is not there (set NOVACRON_SHARED_DATA)")
    import pandas as pd

    data = pd.read_parquet(path, columns=["ts", "vm_id", "cpu_usage_pct"])
    hours = data.groupby([data.vm_id, data.ts.dt.floor("h")]).cpu_usage_pct.mean().unstack("vm_id")
    start = hours.index[0].ceil("D")
    return hours.reindex(pd.date_range(start, hours.index[-1], freq="h")).to_numpy().T


@pytest.mark.parametrize(("plan", "horizon", "origin", "season"), [(HOURLY, 168, 70, 24), (DAILY, 28, 61, 7)])
def test_better_than_the_seasonal_naive_with_honest_intervals(hourly_cpu, plan, horizon, origin, season):
    whole = hourly_cpu.shape[1] // 24
    values = hourly_cpu if plan is HOURLY else np.array(
        [[np.nan if np.isnan(day).all() else np.nanmean(day) for day in row.reshape(whole, 24)]
         for row in hourly_cpu[:, : whole * 24]]
    )  # fmt: skip
    end = origin * plan.steps_per_day
    history, truth = values[:, :end], values[:, end : end + horizon]
    found = forecast(history, plan, horizon)
    naive = np.tile(history[:, -season:], (1, horizon // season + 1))[:, :horizon]
    chosen = np.isfinite(truth).all(axis=1) & np.isfinite(naive).all(axis=1) & (np.nanmax(history, axis=1) > 1)
    ours = np.abs(found.mean - truth)[chosen].mean(axis=1)
    theirs = np.abs(naive - truth)[chosen].mean(axis=1)
    known = (ours > 0) & (theirs > 0)
    assert np.exp(np.log(ours[known] / theirs[known]).mean()) < 0.85
    inside = ((truth >= found.lo80) & (truth <= found.hi80))[chosen]
    assert 0.74 <= inside.mean() <= 0.88
