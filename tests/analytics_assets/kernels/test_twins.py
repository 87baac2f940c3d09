"""Several series for one entity: exactly one speaks at every instant, and it is the one that measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.gridding import grid
from analytics_assets.kernels.samples import in_order
from analytics_assets.kernels.twins import speaking
from tests.analytics_assets.kernels.test_gridding import END, MINUTE, START, STEP, batch, cells


def kept(*series: list[tuple[int, float]]) -> list[list[int]]:
    """Return for each series (all of VM a, in this order) the minutes of its samples that count."""
    labelled = [({"vm_id": "a", "node_id": f"n{number}"}, samples) for number, samples in enumerate(series)]
    samples = in_order(batch(*labelled), START, END, "vm_id", "node_id")
    spoken = speaking(samples)
    assert spoken is not None
    found = []
    for number in range(len(series)):
        span = slice(int(samples.bounds[number]), int(samples.bounds[number + 1]))
        found.append(((samples.ts_ms[span][spoken[span]] - START) // MINUTE).tolist())
    return found


def at(minutes, value):
    return [(START + minute * MINUTE, float(value(minute))) for minute in minutes]


def test_a_vm_that_moves_and_comes_back_is_followed():
    """Stops the frozen series of the first node from counting while the VM was away, and the second's afterwards."""
    first = at(range(60), lambda m: m if m < 20 else 20 if m < 40 else m)
    second = at(range(20, 60), lambda m: 100 + min(m, 40))
    there, away = kept(first, second)
    assert there == [*range(21), *range(41, 60)]
    assert away == list(range(21, 41))


def test_two_servers_that_scrape_the_same_vm_count_once():
    """Stops a highly available pair of Prometheus servers from doubling every counter."""
    first = at(range(60), lambda m: m * m)
    second = [(ts + 7_000, value + 1) for ts, value in first]
    assert kept(first, second) == [list(range(60)), []]
    gridded = grid(
        batch(({"vm_id": "a", "replica": "1"}, first), ({"vm_id": "a", "replica": "2"}, second)),
        "counter", START, END, STEP,
    )  # fmt: skip
    assert gridded.total.sum() == 59 * 59


def test_the_second_server_fills_in_when_the_first_is_down():
    """Stops samples that were there from being dropped because another series used to speak."""
    first = at([*range(20), *range(40, 60)], lambda m: m * m)
    second = at(range(60), lambda m: m * m)
    own, other = kept(first, second)
    assert own == list(range(20))
    assert other == list(range(20, 60))
    gridded = grid(
        batch(({"vm_id": "a", "replica": "1"}, first), ({"vm_id": "a", "replica": "2"}, second)),
        "counter", START, END, STEP,
    )  # fmt: skip
    assert gridded.total.sum() == 59 * 59


def test_a_metric_that_never_changes_moves_with_the_vm():
    """Stops a constant disk size from being cut off at its last change hours before the migration."""
    first = at(range(60), lambda m: 1 if m < 5 else 2)
    second = at(range(30, 60), lambda m: 3)
    assert kept(first, second) == [list(range(30)), list(range(30, 60))]


def test_a_series_that_ends_gives_way_at_once():
    """Stops the last minutes of a day from being lost to a VM that moved just before midnight."""
    first = at(range(58), lambda m: m)
    second = at(range(58, 60), lambda m: m)
    assert kept(first, second)[1] in ([58, 59], [])  # two samples are less than the silence that tells
    longer = at(range(50, 60), lambda m: m)
    assert kept(at(range(50), lambda m: m), longer) == [list(range(50)), list(range(50, 60))]


def test_the_order_of_the_series_does_not_matter():
    """Stops the answer from hanging on the order in which a server sends series."""
    first = ({"vm_id": "a", "node_id": "n1"}, at(range(60), lambda m: min(m, 20)))
    second = ({"vm_id": "a", "node_id": "n2"}, at(range(20, 60), lambda m: m))
    other = ({"vm_id": "b", "node_id": "n1"}, at(range(60), lambda m: m))
    one = grid(batch(first, second, other), "gauge", START, END, STEP)
    two = grid(batch(other, second, first), "gauge", START, END, STEP)
    assert cells(one) == cells(two)
    assert one.total.tolist() == two.total.tolist()


def constant(node: str, value: float, offset_ms: int, minutes=range(60), **labels):
    samples = [(ts + offset_ms, float(value)) for ts, _ in at(minutes, float)]
    return {"vm_id": "a", "node_id": node, **labels}, samples


def speaks(*series, places=None) -> set[tuple[str, float]]:
    """Return the places and values of the buckets, after the first."""
    gridded = grid(batch(*series), "gauge", START, END, STEP, places=places)
    assert sorted(gridded.bucket) == list(range(12))
    rows = zip(gridded.bucket, gridded.place, gridded.mean, strict=True)
    return {(gridded.places[place], float(mean)) for bucket, place, mean in rows if bucket > 0}


OFFSETS = [(0, 0), (10_000, 40_000), (40_000, 10_000), (0, 59_999), (59_999, 0)]


@pytest.mark.parametrize("offsets", OFFSETS)
def test_constants_from_the_beginning_do_not_hang_on_who_is_scraped_first(offsets):
    """Stops the memory of a VM that moved days ago from being the dead node's or the new one's as scrapes fall."""
    old, new = offsets
    assert speaks(constant("n1", 2, old), constant("n2", 8, new)) == {("n1", 2.0)}
    late = range(1, 60)  # its first scrape was missed
    assert speaks(constant("n1", 2, old), constant("n2", 8, new, late)) == {("n1", 2.0)}


@pytest.mark.parametrize("offsets", OFFSETS)
def test_of_constants_the_one_where_the_vm_is_speaks(offsets):
    """Stops a row with the CPU of one node and the memory that another, dead one still shows."""
    old, new = offsets
    twins = constant("n1", 2, old), constant("n2", 8, new)
    assert speaks(*twins, places={"a": "n2", "b": "n1"}) == {("n2", 8.0)}
    assert speaks(*twins, places={"a": "n1"}) == {("n1", 2.0)}
    assert speaks(*twins, places={"a": "n3", "b": "n2"}) == {("n1", 2.0)}
    two_servers = [
        constant("n1", 2, old), constant("n2", 8, new, replica="1"), constant("n2", 8, old, replica="2")
    ]  # fmt: skip
    assert speaks(*two_servers, places={"a": "n2"}) == {("n2", 8.0)}


@pytest.mark.parametrize("offsets", OFFSETS)
def test_of_constants_the_one_that_goes_on_speaks(offsets):
    """Stops a series that ended at noon from hiding the one that is there all day."""
    old, new = offsets
    assert speaks(constant("n1", 2, old, range(30)), constant("n2", 8, new)) == {("n2", 8.0)}
    assert speaks(constant("n1", 2, old, range(59)), constant("n2", 8, new)) == {("n1", 2.0)}


def test_a_known_place_does_not_outweigh_what_the_series_show():
    """Stops a place that holds for most of the day from silencing the series that measures."""
    frozen = constant("n1", 2, 0)
    alive = {"vm_id": "a", "node_id": "n2"}, at(range(60), lambda m: m)
    assert {place for place, _ in speaks(frozen, alive, places={"a": "n1"})} == {"n2"}
    moved = constant("n2", 8, 0, range(30, 60))
    assert speaks(frozen, moved, places={"a": "n1"}) == {("n1", 2.0), ("n2", 8.0)}


moves = st.lists(st.integers(10, 110), min_size=1, max_size=4, unique=True).map(sorted)


@settings(max_examples=100)
@given(moves, st.randoms(use_true_random=False))
def test_a_wandering_vm_is_as_one_that_stayed(at_minutes, random):
    """Stops any migration from losing or doubling samples: the truth is the VM's own signal.

    The VM stays at least 10 minutes in a place and may return to an earlier one; every left series stays
    exposed with its last value until the VM returns there.
    """
    end = START + 120 * MINUTE
    at_minutes = [m for i, m in enumerate(at_minutes) if i == 0 or m - at_minutes[i - 1] >= 10]
    truth = {minute: 50 + 40 * np.sin(minute / 7) + minute * 0.01 for minute in range(120)}
    place, places = 0, {}
    for minute in range(120):
        if minute in at_minutes:
            place = random.choice([other for other in range(3) if other != place])
        places[minute] = place
    series = []
    for number in set(places.values()):
        since = min(minute for minute, where in places.items() if where == number)
        value, samples = 0.0, []
        for minute in range(since, 120):
            value = truth[minute] if places[minute] == number else value
            samples.append((START + minute * MINUTE, value))
        series.append(({"vm_id": "a", "node_id": f"n{number}"}, samples))
    gridded = grid(batch(*series), "gauge", START, end, STEP)
    alone = grid(
        batch(({"vm_id": "a"}, [(START + m * MINUTE, v) for m, v in truth.items()])), "gauge", START, end, STEP
    )
    assert gridded.bucket.tolist() == alone.bucket.tolist()
    assert gridded.samples.tolist() == alone.samples.tolist()
    # At a move the instant itself may be the old place's last value: a minute's difference at most.
    assert np.abs(gridded.mean - alone.mean).max() < 40 * (1 / 7) * 1.01
    assert gridded.frozen == sum(len(samples) for _, samples in series) - 120


def test_without_twins_nothing_is_looked_at():
    samples = in_order(batch(({"vm_id": "a"}, at(range(3), float))), START, END, "vm_id", "node_id")
    assert speaking(samples) is None
    assert samples.interval_ms.tolist() == [MINUTE]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_number_of_twins_leaves_one_sample_an_instant(count):
    """Stops two series from speaking at the same instant."""
    series = [at(range(60), lambda m, n=n: (m // (n + 1)) % 7) for n in range(count)]
    minutes = [minute for own in kept(*series) for minute in own]
    assert sorted(minutes) == sorted(set(minutes))
    assert len(minutes) == 60
