"""`grid` held against the oracle over series as untidy as they come."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.gridding import grid
from analytics_assets.kernels.samples import STALE_BITS
from resources.monitoring.source import SeriesBatch
from tests.analytics_assets.kernels.counting_oracle import Labels, Samples
from tests.analytics_assets.kernels.gridding_oracle import Expected, gridded

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
STEP = 5 * MINUTE
STALE = float(np.uint64(STALE_BITS).view(np.float64))
Many = list[tuple[Labels, Samples]]
COUNTS = ["stale", "not_finite", "out_of_range", "late", "repeated", "frozen", "suspect", "undecided", "last_ts_ms"]


def as_batch(series: Many) -> SeriesBatch:
    samples = [sample for _, own in series for sample in own]
    return SeriesBatch(
        "metric",
        tuple(labels for labels, _ in series),
        np.r_[0, np.cumsum([len(own) for _, own in series])].astype(np.int64),
        np.array([ts for ts, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
    )


def holds(series: Many, kind: str, start: int, end: int, step: int, **labels) -> Expected:
    """Assert that `grid` says of `series` what the oracle says."""
    found = grid(as_batch(series), kind, start, end, step, **labels)
    expected = gridded(series, kind, start, end, step, **labels)
    cells = [(found.entities[entity], int(bucket)) for entity, bucket in zip(found.entity, found.bucket, strict=True)]
    assert cells == sorted(expected.cells)
    for row, key in enumerate(cells):
        cell = expected.cells[key]
        place = found.places[found.place[row]] if found.place[row] >= 0 else None
        assert (int(found.samples[row]), bool(found.doubtful[row]), place) == (cell.samples, cell.doubtful, cell.place)
        total, mean = sum(cell.values), sum(cell.values) / sum(cell.seconds)
        assert float(found.total[row]) == pytest.approx(total, rel=1e-9, abs=1e-6)
        assert float(found.mean[row]) == pytest.approx(mean, rel=1e-6, abs=1e-6)
        assert float(found.maximum[row]) == pytest.approx(max(mean, *cell.rates), rel=1e-6, abs=1e-6)
    for name in COUNTS:
        assert getattr(found, name) == getattr(expected, name), name
    return expected


# Anything at all: few instants, few values, so that everything meets.

END = START + 30 * MINUTE
instants = st.one_of(
    st.integers(-10, 31).map(lambda minute: START + minute * MINUTE), st.integers(START - 10 * MINUTE, END + MINUTE)
)
values = st.one_of(
    st.integers(0, 3).map(float), st.floats(-10, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, STALE, 1e35])
)
labels = st.fixed_dictionaries(
    {"vm_id": st.sampled_from(["a", "b", "c", ""])},
    optional={"node_id": st.sampled_from(["n1", "n2", ""]), "replica": st.sampled_from("123")},
)
anything = st.lists(
    st.tuples(labels, st.lists(st.tuples(instants, values), max_size=25)),
    max_size=7,
    unique_by=lambda one: tuple(sorted(one[0].items())),
)
kinds = st.sampled_from(["gauge", "counter", "histogram"])
known_places = st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from(["n1", "n2", "n3", ""]))


@settings(max_examples=400)
@given(anything, kinds, known_places)
def test_whatever_arrives(series, kind, places):
    """Stops any loss, double count or crash over samples that follow no pattern."""
    holds(series, kind, START, END, STEP, places=places)


@settings(max_examples=400)
@given(anything, kinds)
def test_entities_of_several_labels(series, kind):
    """Stops series that lack one of an entity's labels from counting."""
    holds(series, kind, START, END, STEP, entity_label=("vm_id", "node_id"), place_label="", minimum=0)


# Stories: VMs that move between nodes, two servers that scrape them, exporters that restart, and
# everything that goes wrong on the way.

HOURS = 12
BEGIN, UNTIL = START - 60 * MINUTE, START + HOURS * 60 * MINUTE


def story(random: Random, kind: str) -> Many:
    """Return the series of some VMs over half a day and the hour before."""
    interval = random.choice([5, 10, 15]) * MINUTE
    return [series for number in range(random.randint(1, 3)) for series in life(random, f"vm{number}", interval, kind)]


def life(random: Random, vm: str, interval: int, kind: str) -> Many:
    times = range(BEGIN, UNTIL, MINUTE)
    node, nodes = 0, []
    moves = {random.choice(times) for _ in range(random.choice([0, 1, 1, 2, 4]))}
    for ts in times:
        node = random.choice([other for other in range(3) if other != node]) if ts in moves else node
        nodes.append(node)
    shown = exposed(random, nodes, pace(random), kind)
    outages = [(random.choice(times), random.randint(1, 90) * MINUTE) for _ in range(random.choice([0, 1, 3]))]
    found = []
    for replica in range(random.choice([1, 1, 2])):
        offset = random.randint(0, interval - 1)
        for place in sorted(set(nodes)):
            own = [
                (ts + offset % MINUTE, shown[place][(ts - BEGIN) // MINUTE])
                for ts in range(BEGIN + offset // MINUTE * MINUTE, UNTIL, interval)
                if not any(
                    replica == n % 2 and begin <= ts < begin + length for n, (begin, length) in enumerate(outages)
                )
            ]
            samples = untidy(random, [(ts, value) for ts, value in own if value is not None])
            found.append(({"vm_id": vm, "node_id": f"n{place}", "replica": str(replica)}, samples))
    return found


def pace(random: Random):
    """Return what is moved, or how the level changes, in a minute."""
    return random.choice(
        [
            lambda: random.randint(1, 1000),
            lambda: random.randint(1, 50) if random.random() < 0.01 else 0,
            lambda: 0,
            lambda: 7,
        ]
    )


def exposed(random: Random, nodes: list[int], moved, kind: str) -> dict[int, list[float | None]]:
    """Return by node and minute what its exporter shows of the VM: nothing before, its last value after."""
    shown: dict[int, list[float | None]] = {place: [] for place in set(nodes)}
    held: dict[int, float] = {}
    sums_totals, total = random.random() < 0.4, random.choice([0, 10**6])
    restarts = {random.randrange(len(nodes)) for _ in range(random.choice([0, 0, 1, 3]))}
    for minute, here in enumerate(nodes):
        if minute in restarts:
            held.clear()
        amount = moved()
        total += amount
        if kind == "gauge":
            held[here] = 50.0 + random.choice([-1, 1]) * amount
        elif sums_totals:
            held[here] = held.get(here, 0.0) + total
        else:
            held[here] = held.get(here, 0.0) + amount
        for place, values in shown.items():
            values.append(held.get(place))
    return shown


def untidy(random: Random, samples: Samples) -> Samples:
    """Return `samples` as they arrive: some lost, repeated, late, or no numbers."""
    found: Samples = []
    for ts, value in samples:
        chance = random.random()
        if chance < 0.01:
            continue
        found.append((ts, random.choice([math.nan, STALE, math.inf, -1.0]) if chance < 0.02 else value))
        if 0.02 < chance < 0.03:
            found.append((ts, value + random.choice([0, 1])))
        if 0.03 < chance < 0.04 and len(found) > 2:
            found[-1], found[-2] = found[-2], found[-1]
    return found


@settings(max_examples=400)
@given(st.randoms(use_true_random=True), st.sampled_from(["gauge", "counter"]))
def test_stories(random, kind):
    """Stops a migration, a replica, an outage or a restart from being told other than the rules say."""
    holds(story(random, kind), kind, START, UNTIL, 30 * MINUTE, minimum=0)


steps = st.lists(st.sampled_from([0, 0, 1, 2, 50, 1000, 10**6]), min_size=20, max_size=80)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(steps, st.sampled_from([0, 1, 1, 2]), st.integers(0, 10**9)), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_running_sums_beside_others(many, random):
    """Stops the verdict over a batch from being another than the rules', from the evidence to who shares it."""
    batch: Many = []
    for number, (moved, times_summed, start) in enumerate(many):
        values = np.array(moved, np.float64) + (random.randint(0, 9) if times_summed else 0)
        values[0] += start
        for _ in range(times_summed):
            values = np.cumsum(values)
        instants = [START - 10 * MINUTE + place * MINUTE + random.randint(0, 20) for place in range(len(values))]
        kept = [sample for sample in zip(instants, values.tolist(), strict=True) if random.random() > 0.02]
        batch.append(({"vm_id": random.choice("ab"), "number": str(number)}, kept))
    holds(batch, "counter", START, START + 120 * MINUTE, STEP)


still = st.tuples(st.integers(0, 12), st.integers(0, 60), st.integers(1, 30), st.sampled_from([1.0, 1.0, 2.0]))


@settings(max_examples=400)
@given(st.lists(still, min_size=2, max_size=4), st.none() | st.sampled_from(["n0", "n1", "n2", "n3"]), kinds)
def test_twins_that_stand_still(many, place, kind):
    """Stops the order of scrapes within an interval from telling which of several constants counts."""
    batch: Many = []
    for number, (begin, offset, count, value) in enumerate(many):
        first = START + begin * MINUTE + offset * 1000
        own = [(first + scrape * MINUTE, value) for scrape in range(count)]
        batch.append(({"vm_id": "a", "node_id": f"n{number % 3}", "replica": str(number)}, own))
    holds(batch, kind, START, START + 60 * MINUTE, STEP, places={"a": place} if place else None)
