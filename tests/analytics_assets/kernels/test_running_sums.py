"""Counters that are running sums of totals are told from honest ones, by all the series of a batch together."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analytics_assets.kernels.counters import Increases, increases
from analytics_assets.kernels.gridding import grid
from analytics_assets.kernels.samples import in_order
from resources.monitoring.source import SeriesBatch

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_767_225_600_000  # 2026-01-01
Series = tuple[np.ndarray, np.ndarray]
"""Times and values of one counter."""


def batch(series: Sequence[Series], entities: Sequence[str] = ()) -> SeriesBatch:
    names = entities or [f"vm{number}" for number in range(len(series))]
    return SeriesBatch(
        "metric",
        tuple({"vm_id": name, "number": f"{number:03}"} for number, name in enumerate(names)),
        np.r_[0, np.cumsum([len(times) for times, _ in series])].astype(np.int64),
        np.concatenate([times for times, _ in series]).astype(np.int64),
        np.concatenate([values for _, values in series]).astype(np.float64),
    )


def told(series: Sequence[Series], entities: Sequence[str] = ()) -> Increases:
    return increases(in_order(batch(series, entities), 0, START + 100 * DAY, "vm_id", ""))


def numbers(found: Increases) -> tuple[list[int], list[int]]:
    """Return which series, in order of their entities, are sums, and which are undecided."""
    return found.suspect.tolist(), found.undecided.tolist()


def scrapes(hours: float, interval_ms: int = 60_000, seed: int = 0) -> np.ndarray:
    """The hour before the day and `hours` of it, some milliseconds early or late."""
    times = np.arange(START - HOUR, START + int(hours * HOUR), interval_ms)
    return times + np.random.default_rng(seed).integers(-3, 4, len(times))


def traffic(count: int, active: float, seed: int) -> np.ndarray:
    """Bytes moved up to each scrape: something in a share `active` of half hours of 60 s, nothing in the others."""
    rng = np.random.default_rng(seed)
    on = np.repeat(rng.random(count // 30 + 1) < active, 30)[:count]
    return on * rng.gamma(1.0, 1e6, count).round()


def summed(times: np.ndarray, moved: np.ndarray, start: float = 1e9) -> Series:
    return times, np.cumsum(start + np.cumsum(moved))


def vms(count: int, hours: float, interval_ms: int, active: float, seed: int) -> tuple[list[Series], float]:
    """Return running sums of as many VMs, and the bytes they moved after their second sample."""
    all_moved = [traffic(len(scrapes(hours, interval_ms)), active, 1000 * seed + number) for number in range(count)]
    series = [
        summed(scrapes(hours, interval_ms, number), moved, [1e6, 1e9, 1e12][number % 3])
        for number, moved in enumerate(all_moved)
    ]
    return series, sum(float(moved[2:].sum()) for moved in all_moved)


@pytest.mark.parametrize("active", [1.0, 0.5, 0.2, 0.1, 0.05])
@pytest.mark.parametrize("interval_ms", [15_000, 60_000, 300_000])
def test_the_sums_of_a_fleet_are_told_however_idle_it_is(active, interval_ms):
    """Stops a mostly idle fleet's bytes from being stored a million times too large."""
    for seed in range(2):
        series, moved = vms(20, 24, interval_ms, active, seed)
        found = told(series)
        assert len(found.suspect) == 20
        assert found.amount.sum() == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("hours", [1, 2, 4])
@pytest.mark.parametrize(("interval_ms", "count", "active"), [(15_000, 1, 0.5), (60_000, 1, 1.0), (300_000, 20, 0.5)])
def test_the_sums_of_a_day_that_has_just_begun_are_told(hours, interval_ms, count, active):
    """Stops today's first hours from showing a thousand times the traffic until there is evidence of six hours."""
    series, moved = vms(count, hours, interval_ms, active, 1)
    found = told(series)
    assert len(found.suspect) == count
    assert found.amount.sum() == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("active", [0.5, 0.1])
def test_one_vm_alone_is_told_by_its_own_rises(active):
    """Stops the answer from needing other VMs where one has moved enough itself."""
    missed = [not numbers(told(vms(1, 24, 60_000, active, seed)[0]))[0] for seed in range(20)]
    assert sum(missed) == 0


def test_steady_traffic_is_told_as_well():
    """Stops a busy VM, of which every scrape's bytes are much the same, from passing for load that grows."""
    rng = np.random.default_rng(0)
    moved = [rng.gamma(shape, 1e6 / shape, len(scrapes(24))).round() for shape in (2, 4, 16)]
    assert all(numbers(told([summed(scrapes(24), own)]))[0] == [0] for own in moved)


def test_few_rises_of_one_vm_are_not_enough_but_those_of_several_are():
    """Stops the first hour of one VM from telling by chance, and that of several from being left undecided."""
    series = [summed(scrapes(1, 300_000, seed), traffic(24, 1, seed)) for seed in range(6)]
    assert [numbers(told([own])) for own in series] == [([], [0])] * 6
    assert numbers(told(series)) == ([0, 1, 2, 3, 4, 5], [])


def test_a_vm_that_never_moved_anything_is_told_by_the_others():
    """Stops an idle VM from being the tenant's top talker with its whole total at every scrape."""
    idle = summed(scrapes(4, seed=1), np.zeros(len(scrapes(4))), 7e11)
    busy = summed(scrapes(4), traffic(len(scrapes(4)), 1, 0))
    found = told([busy, idle])
    assert numbers(found) == ([0, 1], [])
    assert found.amount[len(busy[0]) :].sum() == 0
    assert numbers(told([idle])) == ([], [0])


def test_a_sum_is_told_in_spite_of_restarts_gaps_and_missed_scrapes():
    """Stops a VM that began again, or an exporter that did, from making the batch look honest."""
    times, moved = scrapes(24), traffic(len(scrapes(24)), 0.3, 5)
    total = 1e9 + np.cumsum(moved)
    total[400:] = np.cumsum(moved[400:])  # the VM began again
    counter = np.cumsum(total)
    counter[900:] -= counter[899]  # the exporter did
    kept = np.random.default_rng(0).random(len(times)) > 0.05
    kept[1200:1240] = False
    idle = summed(scrapes(24, seed=1), np.zeros(len(times)))
    assert numbers(told([(times[kept], counter[kept]), idle])) == ([0, 1], [])


def test_the_last_digits_of_a_great_sum_are_no_falls():
    """Stops the rounding of a float beyond 2**53 from proving an idle VM's counter honest."""
    times, rng = scrapes(24), np.random.default_rng(0)
    values = np.full(len(times), 1.23456789e17)
    for place in range(1, len(times)):
        values[place] = values[place - 1] + (1e12 + rng.integers(-1, 2) * np.spacing(values[place - 1]))
    assert numbers(told([(times, values)])) == ([], [0])


Shape = Callable[[np.random.Generator, np.ndarray], np.ndarray]
HONEST: dict[str, Shape] = {
    "constant": lambda rng, at: np.full(len(at), 1e6),
    "ramp": lambda rng, at: 1e5 + 1e7 * share(at),
    "ramp in whole bytes": lambda rng, at: (1000 + 0.7 * at).round(),
    "bent ramp": lambda rng, at: 1e5 + 1e7 * np.sin(share(at) * np.pi / 2),
    "bent ramp in whole bytes": lambda rng, at: (1e3 + 1e4 * np.sin(share(at) * np.pi / 2)).round(),
    "ramp that bends up": lambda rng, at: 1e5 * np.exp(3 * share(at)),
    "ramp in waves": lambda rng, at: 1e6 * at + 3e6 * np.sin(at * 2 * np.pi / 30),
    "ramp with noise": lambda rng, at: (1e5 + 1e7 * share(at)) * np.exp(rng.normal(0, 0.05, len(at))),
    "ramp of packets": lambda rng, at: rng.poisson(10 + 1000 * share(at)) * 60.0,
    "ramp, then level": lambda rng, at: np.minimum(1e5 + 3e7 * share(at), 1e7),
    "a transfer that gathers speed": lambda rng, at: 1e7 * (1 - np.exp(-at / 20)) * rng.lognormal(0, 0.02, len(at)),
    "steps": lambda rng, at: 1e5 * (1 + np.floor(5 * share(at))) ** 2,
    "step in a ramp": lambda rng, at: 1e5 + 1e6 * share(at) + 5e6 * (share(at) > 0.5),
    "stairs": lambda rng, at: 1e5 * (1 + at // 3),
    "daily cycle": lambda rng, at: 1e6 + 9e5 * np.sin(share(at) * 2 * np.pi),
    "bursts": lambda rng, at: (rng.random(len(at)) < 0.02) * rng.gamma(1, 1e6, len(at)).round(),
    "busy half hours": lambda rng, at: traffic(len(at), 0.1, 1),
    "one page an interval": lambda rng, at: np.full(len(at), 4096.0),
    "a page, and bursts": lambda rng, at: 4096 + (rng.random(len(at)) < 0.1) * rng.gamma(1, 1e6, len(at)).round(),
    "noise": lambda rng, at: rng.gamma(1, 1e6, len(at)).round(),
}


def share(at: np.ndarray) -> np.ndarray:
    return at / len(at)


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("hours", [1, 2, 6, 24])
@pytest.mark.parametrize("interval_ms", [60_000, 300_000])
def test_honest_load_is_no_sum_however_it_grows(name, hours, interval_ms):
    """Stops real bytes from being taken for totals, and all but their growth from being lost."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        times = scrapes(hours, interval_ms, seed)
        times += rng.integers(-200, 201, len(times)) * (seed % 2)
        moved = HONEST[name](rng, np.arange(len(times)))
        as_flow = np.diff(times, prepend=times[0] - interval_ms) / interval_ms  # more is moved up to a late scrape
        for own in (moved, (moved * as_flow).round()) if not seed % 2 else [(moved * as_flow).round()]:
            counter = rng.choice([0.0, 1e12]) + np.cumsum(own)
            again = counter.copy()
            again[len(again) // 2 :] -= again[len(again) // 2 - 1]  # a restart at noon
            assert len(told([(times, counter)]).suspect) == 0
            assert len(told([(times, again)]).suspect) == 0


@pytest.mark.parametrize("noise", [0.2, 0.3, 0.45])
@pytest.mark.parametrize("count", [28, 60, 300])
def test_ramps_at_the_edge_of_falling_are_hardly_ever_sums(noise, count):
    """Stops a single steep ramp with noise from being a sum by more than rare chance, the worst case of any load."""
    times, wrong = START + 300_000 * np.arange(count), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        moved = 1e6 * (np.arange(count) + rng.uniform(-noise, noise, count))
        wrong += len(told([(times, np.cumsum(moved))]).suspect)
    assert wrong <= 3


COUNT = len(scrapes(24))


def test_where_some_are_honest_only_sure_sums_and_their_entities_are_told():
    """Stops one odd series from turning honest counters of the same metric into sums."""
    times, later = scrapes(24), scrapes(24)[-20:]
    honest = times, np.cumsum(traffic(COUNT, 1, 0))
    sure = summed(times, traffic(COUNT, 1, 1))
    idle = summed(times, np.zeros(COUNT))
    young = later, np.cumsum(np.full(20, 5e9))
    rare = summed(times, np.where(np.arange(COUNT) % 90 == 45, traffic(COUNT, 1, 2), 0))
    found = told([honest, sure, young, idle, rare], ["a", "b", "b", "c", "d"])
    assert numbers(found) == ([1, 2], [3, 4])
    assert numbers(told([sure, young, idle, rare])) == ([0, 1, 2, 3], [])


def test_undecided_are_those_that_always_added_and_never_fell():
    """Stops a note about every VM that is idle or new, and the lack of one about a VM nobody can judge."""
    times = scrapes(24)
    always = times, np.cumsum(np.full(COUNT, 3e8))
    sometimes = times, np.cumsum(np.where(np.arange(COUNT) % 2, 60.0, 0.0))
    never = times, np.full(COUNT, 5e9)
    new = times[-5:], np.cumsum(np.full(5, 3e8))
    given = batch([always, sometimes, never, new])
    assert numbers(told([always, sometimes, never, new])) == ([], [0])
    gridded = grid(given, "counter", START, START + DAY, 300_000)
    assert (gridded.suspect, gridded.undecided) == (0, 1)
    assert gridded.total[gridded.entity == 0].sum() == pytest.approx(1440 * 3e8)


def real_traffic(folder, first: datetime, days: int) -> dict[str, list[Series]]:
    """Return by column the totals of bytes of each VM, from its first sample on, in the days asked for."""
    columns = ["net_rx_kbps", "net_tx_kbps", "disk_read_kbps", "disk_write_kbps"]
    table = pq.read_table(folder / "bitbrains_5min.parquet", columns=["ts", "vm_id", *columns])
    begin = int(first.timestamp() * 1000)
    table = table.append_column("ms", pc.cast(table["ts"], "int64"))
    inside = pc.and_(pc.greater_equal(table["ms"], begin - HOUR), pc.less(table["ms"], begin + days * DAY))
    table = table.filter(inside)
    vm_of, ms = np.array(table["vm_id"].to_pylist()), table["ms"].to_numpy()
    found: dict[str, list[Series]] = {column: [] for column in columns}
    for vm in np.unique(vm_of):
        own = vm_of == vm
        times = ms[own]
        seconds = np.minimum(np.diff(times, prepend=times[0] - 300_000) / 1000, 3600)
        for column in columns:
            rate = table[column].to_numpy()[own].astype(np.float64)
            found[column].append((times, np.cumsum((rate * 1024 * seconds).round())))
    return found


FIRST = datetime(2013, 8, 5, tzinfo=UTC)


def cut(series: Sequence[Series], day: int, hours: int) -> list[Series]:
    begin = int(FIRST.timestamp() * 1000) + day * DAY
    spans = [(times, values, np.searchsorted(times, [begin - HOUR, begin + hours * HOUR])) for times, values in series]
    return [(times[low:high], values[low:high]) for times, values, (low, high) in spans if high - low > 2]


def test_no_real_counter_is_taken_for_a_sum(shared_data):
    """Stops the rules from fitting only planted traffic: 90 VMs, four counters, a day and the first hours of it."""
    rng = np.random.default_rng(0)
    looked_at = 0
    for series in real_traffic(shared_data, FIRST, 3).values():
        for day in range(3):
            for hours in (1, 2, 4, 6, 24):
                own = cut(series, day, hours)
                alone = [len(told([one]).suspect) for one in own]
                pairs = [len(told([own[i] for i in rng.permutation(len(own))[:2]]).suspect) for _ in range(20)]
                assert sum(alone) + sum(pairs) + len(told(own).suspect) == 0
                looked_at += len(own)
    assert looked_at > 4000


def test_real_traffic_summed_is_told(shared_data):
    """Stops the rules from telling only planted traffic: what 30 real VMs moved, from the first hour of a day on."""
    rng = np.random.default_rng(0)
    for series in real_traffic(shared_data, FIRST, 1).values():
        for hours in (1, 2, 6, 24):
            own = [(times, np.cumsum(1e9 + totals)) for times, totals in cut(series, 0, hours)]
            some = [own[number] for number in rng.permutation(len(own))[:30]]
            assert len(told(some).suspect) == 30


@pytest.mark.parametrize("seen_by_another", [False, True])
@pytest.mark.parametrize("start", [1e9, 1e12])
def test_a_scrape_that_was_missed_costs_and_invents_nothing(start, seen_by_another):
    """Stops an outage of Prometheus from storing the whole total as traffic, whoever else scraped meanwhile."""
    times, moved = scrapes(24), traffic(len(scrapes(24)), 1.0, 3)
    total = start + np.cumsum(moved)
    missed = np.isin(np.arange(len(times)), [*range(300, 302), *range(700, 760), 1200])
    counter = np.cumsum(total if seen_by_another else np.where(missed, 0.0, total))
    found = told([(times[~missed], counter[~missed])])
    assert found.suspect.tolist() == [0]
    # The first total is where the sum begins; what was moved over a gap is known from the totals around it.
    assert found.amount.sum() == pytest.approx(moved[2:].sum(), rel=0.01)
    assert (found.amount >= 0).all()
