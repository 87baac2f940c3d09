"""What counters counted: resets, gaps, and the counter that is a running sum of totals."""

import numpy as np
import pytest

from analytics_assets.kernels.counters import increases
from analytics_assets.kernels.gridding import LEAD_IN_MS, grid
from analytics_assets.kernels.samples import STALE_BITS, in_order
from tests.analytics_assets.kernels.test_gridding import batch

DAY_MS = 86_400_000
START = 1_767_225_600_000
STEP = 300_000
MINUTE = 60_000
DAY = range(-60, 1440)


def counted(*series):
    return increases(in_order(batch(*series), START, START + DAY_MS, "vm_id", "node_id"))


def noisy_day(seed=0, scale=1000.0):
    """Bytes moved in each minute from an hour before the day on."""
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, scale, len(DAY)).round()


def counter_of(moved, start=0.0):
    return [
        (START + minute * MINUTE, float(value)) for minute, value in zip(DAY, start + np.cumsum(moved), strict=True)
    ]


def day_total(samples, **labels):
    return grid(batch(({"vm_id": "a", **labels}, samples)), "counter", START, START + DAY_MS, STEP)


def test_the_total_of_a_day_is_what_was_counted_in_it():
    """Stops the 0.35 % that extrapolating servers add, and the first minute of the day from being lost."""
    moved = noisy_day()
    assert day_total(counter_of(moved, 1e9)).total.sum() == moved[60:].sum()


def test_two_days_together_are_the_whole():
    """Stops the increase over midnight from counting twice or not at all."""
    moved = noisy_day()
    samples = counter_of(moved)
    noon = START + DAY_MS // 2
    halves = [
        grid(
            batch(({"vm_id": "a"}, [s for s in samples if begin - LEAD_IN_MS <= s[0] < end])),
            "counter",
            begin,
            end,
            STEP,
        )
        for begin, end in ((START, noon), (noon, START + DAY_MS))
    ]
    assert sum(half.total.sum() for half in halves) == moved[60:].sum()


def test_a_reset_loses_only_what_nobody_saw():
    """Stops last minus first, which is 60 % too low where a VM restarted."""
    moved = noisy_day()
    samples = counter_of(moved)
    restart = 700
    after = np.cumsum(moved[restart:])
    samples[restart:] = [(samples[restart + i][0], float(value)) for i, value in enumerate(after)]
    assert day_total(samples).total.sum() == moved[60:].sum()


def test_an_increase_over_a_gap_is_kept_whole_and_marked():
    """Stops traffic from vanishing with the scrapes that missed it, and from looking like a spike."""
    moved = noisy_day()
    samples = [sample for sample in counter_of(moved) if not START + 300 * MINUTE <= sample[0] < START + 420 * MINUTE]
    gridded = day_total(samples)
    assert gridded.total.sum() == moved[60:].sum()
    assert gridded.bucket[gridded.doubtful].tolist() == [84]
    assert gridded.mean[gridded.doubtful][0] < 2 * moved.mean() / 60
    assert not any(300 / 5 <= bucket < 420 / 5 for bucket in gridded.bucket)


def test_a_missed_scrape_is_no_gap():
    samples = counter_of(noisy_day())
    del samples[500]
    assert not day_total(samples).doubtful.any()


def test_a_running_sum_of_totals_is_told_and_undone():
    """Stops NovaCron's Add(total) from showing a VM whose traffic grows every day without end."""
    moved = noisy_day()
    total = 5e9 + np.cumsum(moved)
    samples = [(ts + (n * 37) % 211, value) for n, (ts, value) in enumerate(counter_of(total))]  # scrapes jitter
    gridded = day_total(samples)
    assert gridded.suspect == 1
    assert gridded.total.sum() == pytest.approx(moved[60:].sum(), rel=1e-6)
    assert gridded.mean.mean() == pytest.approx(moved[60:].mean() / 60, rel=0.01)


@pytest.mark.parametrize("start", [0.0, 1e6])
def test_a_young_running_sum_is_told_from_its_growing_rate(start):
    """Stops the detection from needing a total that is large already."""
    moved = noisy_day(3)
    gridded = day_total(counter_of(start + np.cumsum(moved)))
    assert gridded.suspect == 1
    assert gridded.total.sum() == pytest.approx(moved[60:].sum(), rel=1e-6)


@pytest.mark.parametrize(
    "rate",
    [
        lambda minute: 1000.0,
        lambda minute: 0.0,
        lambda minute: 1000 + 900 * np.sin(minute / 1440 * 2 * np.pi),
        lambda minute: 100 + minute + 30 * (minute % 7),
        lambda minute: 5000.0 if minute > 700 else 10.0,
        lambda minute: 1000.0 * (1 + minute // 360),
        lambda minute: 3000 - minute,
    ],
    ids=["steady", "idle", "daily cycle", "growing with noise", "a step", "some steps", "falling"],
)
def test_an_honest_counter_is_not_suspected(rate):
    """Stops real traffic from being taken for an artefact and divided away."""
    moved = np.array([rate(minute) for minute in DAY])
    gridded = day_total(counter_of(moved))
    assert gridded.suspect == 0
    assert gridded.total.sum() == pytest.approx(moved[60:].sum())


def test_increases_never_go_across_series():
    """Stops the difference between two VMs' counters from counting as traffic."""
    found = counted(
        ({"vm_id": "a"}, [(START, 1e12), (START + MINUTE, 1e12)]), ({"vm_id": "b"}, [(START + MINUTE, 5.0)])
    )
    assert found.amount.tolist() == [0, 0, 0]
    assert found.valid.tolist() == [False, True, False]


def test_a_stale_marker_is_the_end_of_a_series_and_no_value():
    """Stops the marker from counting as a NaN sample that the exporter sent, or as a reset."""
    marker = float(np.array([STALE_BITS], np.uint64).view(np.float64)[0])
    samples = [(START, 5.0), (START + MINUTE, marker), (START + 2 * MINUTE, float("nan")), (START + 3 * MINUTE, 9.0)]
    gridded = grid(batch(({"vm_id": "a"}, samples)), "counter", START, START + DAY_MS, STEP)
    assert (gridded.stale, gridded.not_finite) == (1, 1)
    assert gridded.total.tolist() == [4.0]


def test_values_that_cannot_be_are_no_samples():
    """Stops one negative CPU reading from refusing a tenant's whole day."""
    samples = [(START, 5.0), (START + MINUTE, -1.0), (START + 2 * MINUTE, 7.0)]
    gridded = grid(batch(({"vm_id": "a"}, samples)), "gauge", START, START + DAY_MS, STEP, minimum=0)
    assert (gridded.out_of_range, gridded.mean.tolist(), gridded.samples.tolist()) == (1, [6.0], [2])
    allowed = grid(batch(({"vm_id": "a"}, samples)), "gauge", START, START + DAY_MS, STEP)
    assert (allowed.out_of_range, allowed.samples.tolist()) == (0, [3])


def test_each_entity_has_an_interval_of_its_own():
    """Stops a VM that another exporter scrapes more seldom from being expected as often as the others."""
    every_minute = ({"vm_id": "m"}, [(START + i * MINUTE, 1.0) for i in range(40)])
    every_five = ({"vm_id": "f"}, [(START + i * STEP, 1.0) for i in range(40)])
    once = ({"vm_id": "o"}, [(START, 1.0)])
    found = grid(batch(every_minute, every_five, once), "gauge", START, START + DAY_MS, STEP)
    assert dict(zip(found.entities, found.interval_ms.tolist(), strict=True)) == {"m": MINUTE, "f": STEP, "o": 0}


def test_an_entity_of_several_labels_needs_all_of_them():
    """Stops links from one node from being taken for one another."""
    links = [
        ({"source_node": "a", "target_node": "b"}, [(START, 1.0)]),
        ({"source_node": "a", "target_node": "c"}, [(START, 3.0)]),
        ({"source_node": "a"}, [(START, 9.0)]),
    ]
    gridded = grid(batch(*links), "gauge", START, START + DAY_MS, STEP, ("source_node", "target_node"), "")
    assert [name.split("\x1f") for name in gridded.entities] == [["a", "b"], ["a", "c"]]
    assert gridded.mean.tolist() == [1.0, 3.0]
