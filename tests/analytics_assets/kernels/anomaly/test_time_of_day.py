"""What is usual at a time of the day."""

import numpy as np
import pytest

from analytics_assets.kernels.anomaly.time_of_day import DAYS, usual_at

STEP_MS, PER_DAY, AROUND = 300_000, 288, 12


def plain(values, first, last):
    """The definition, a step at a time."""
    found = []
    for step in range(first, last + 1):
        near = [
            values[at]
            for day in range(1, DAYS + 1)
            for at in range(step - day * PER_DAY - AROUND, step - day * PER_DAY + AROUND + 1)
            if at >= 0 and np.isfinite(values[at])
        ]
        before = values[:first][np.isfinite(values[:first])]
        found.append(np.median(near) if near else np.median(before) if len(before) else np.nan)
    return np.array(found)


@pytest.mark.parametrize(("first", "last"), [(9 * PER_DAY + 5, 9 * PER_DAY + 40), (PER_DAY + 3, PER_DAY + 30), (0, 20)])
def test_it_is_the_median_of_the_hours_around_it_on_days_before(first, last):
    """Stops a window that is off by a step or a day, or reaches into the future or before the series."""
    values = np.random.default_rng(1).standard_normal(10 * PER_DAY).astype(np.float32)
    values[::7] = np.nan
    values[100] = np.inf
    usual = usual_at(values, STEP_MS, first, last)
    assert usual == pytest.approx(plain(values.astype(float), first, last), nan_ok=True)
    cut = values.copy()
    cut[last + 1 :] = 1e6
    assert usual_at(cut, STEP_MS, first, last) == pytest.approx(usual, nan_ok=True)


def test_a_vm_that_was_off_for_a_week_has_all_of_its_past():
    values = np.random.default_rng(1).standard_normal(20 * PER_DAY)
    values[11 * PER_DAY : 19 * PER_DAY] = np.nan
    usual = usual_at(values, STEP_MS, 19 * PER_DAY, 19 * PER_DAY + 5)
    assert usual == pytest.approx(np.full(6, np.median(values[: 11 * PER_DAY])))


def test_nothing_before_is_not_zero():
    assert np.isnan(usual_at(np.ones(50), STEP_MS, 0, 20)).all()
    assert np.isnan(usual_at(np.full(3 * PER_DAY, np.nan), STEP_MS, 2 * PER_DAY, 2 * PER_DAY)).all()
