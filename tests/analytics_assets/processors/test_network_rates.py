"""Bytes that belong to more time than their bucket: rates at any interval, and what compares after a gap."""

from datetime import date

import numpy as np
import pytest

from analytics_assets.processors.network_traffic import COMPONENT, NETWORK_TRAFFIC
from resources.partition import PLATFORM, Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute

DAY = Partition("acme", date(2026, 1, 2))
START, END = DAY.start_ms, DAY.end_ms
MINUTE, HOUR = 60_000, 3_600_000
RECEIVED = "novacron_vm_network_receive_bytes_total"
RATE = "novacron_vm_network_receive_bytes_per_second"


def vm(name: str) -> dict[str, str]:
    return {"vm_id": name, "node_id": "n1", "tenant_id": "acme"}


def steady(begin: int = START - HOUR, end: int = END, every: int = MINUTE, rate: float = 100.0) -> Samples:
    """A counter of `rate` bytes per second, which began ten days before."""
    return [(ts, (ts - START + 10 * 24 * HOUR) / 1000 * rate) for ts in range(begin, end, every)]


def without(samples: Samples, begin: int, end: int) -> Samples:
    return [sample for sample in samples if not begin <= sample[0] < end]


def read(source: PlantedSource, folder, resolution: int = 300, partition: Partition = DAY):
    result = compute(COMPONENT, source, partition, folder, resolution)
    rows = NETWORK_TRAFFIC.conform(result.data).to_pylist()
    step = resolution * 1000
    found = {(row["entity_id"], (int(row["ts"].timestamp() * 1000) - START) // step): row for row in rows}
    return found, result


def received(found, name: str) -> float:
    return sum(row["receive_bytes"] or 0 for (own, _), row in found.items() if own == name)


@pytest.mark.parametrize("resolution", [60, 300])
@pytest.mark.parametrize("interval", [15, 60, 300, 600, 900])
def test_a_rate_amounts_to_the_same_at_any_interval_and_grid(tmp_path, interval, resolution):
    """Stops a sample from standing for no more than its bucket, which loses the rest of its interval."""
    source = PlantedSource()
    samples = [(ts, 1000.0) for ts in range(START + 1000, END, interval * 1000)]
    source.add("acme", RATE, vm("a"), samples)
    found, result = read(source, tmp_path, resolution)
    assert received(found, "a") == pytest.approx(1000 * 86_400)
    assert result.numbers["peak_to_mean"] == pytest.approx(1.0)
    assert result.numbers["percentile_bytes_per_second"] == pytest.approx(1000)
    assert result.facts.coverage == pytest.approx(1.0)


def test_scrapes_near_the_edge_of_a_bucket_lose_nothing(tmp_path):
    """Stops the second of two samples in one bucket from counting for nothing."""
    source, random = PlantedSource(), np.random.default_rng(1)
    samples = [(START + number * 300_000 + int(random.integers(-500, 500)), 1000.0) for number in range(1, 288)]
    source.add("acme", RATE, vm("a"), samples)
    found, _ = read(source, tmp_path)
    assert received(found, "a") == pytest.approx(1000 * 287 * 300, rel=1e-4)


def test_bytes_are_of_each_vms_own_interval(tmp_path):
    """Stops one interval for all from giving a VM that is sampled seldom a twentieth of its bytes, another 20 times."""
    source = PlantedSource()
    for name, every in (("a", 15_000), ("b", 15_000), ("c", 300_000)):
        source.add("acme", RATE, vm(name), [(ts, 1000.0) for ts in range(START, END, every)])
    for node, every in (("a", 15_000), ("b", 300_000), ("c", 300_000)):
        labels = {"node_id": node, "interface": "e", "direction": "rx"}
        source.add(
            PLATFORM, "novacron_network_bandwidth_bytes_per_second", labels,
            [(ts, 1000.0) for ts in range(START, END, every)],
        )  # fmt: skip
    found, result = read(source, tmp_path)
    assert [received(found, name) for name in "abc"] == [86_400_000] * 3
    assert [found[name, 9]["samples_expected"] for name in "abc"] == [20, 20, 1]
    assert [found[name, 9]["share_of_tenant"] for name in "abc"] == [pytest.approx(1 / 3)] * 3
    assert result.facts.coverage == 1.0
    found, result = read(source, tmp_path, partition=Partition(PLATFORM, DAY.day))
    assert [received(found, f"{node}/e") for node in "abc"] == [86_400_000] * 3
    assert result.facts.coverage == 1.0


def test_a_gap_of_all_is_no_peak(tmp_path):
    """Stops what two hours without samples caught up from being the day's peak."""
    source = PlantedSource()
    for number in range(5):
        source.add("acme", RECEIVED, vm(f"vm-{number}"), without(steady(), START + 6 * HOUR, START + 8 * HOUR))
    found, result = read(source, tmp_path)
    assert result.numbers["peak_to_mean"] == pytest.approx(1.0)
    assert result.numbers["percentile_bytes_per_second"] == pytest.approx(500)
    assert result.numbers["total_gigabytes"] == pytest.approx(5 * 100 * 86_400 / 1e9)
    assert result.numbers["doubtful_buckets"] == 5
    assert found["vm-0", 96]["receive_bytes"] == 100 * (2 * 3600 + 300)


def test_a_gap_of_one_makes_it_no_top_talker(tmp_path):
    """Stops the VM that was not seen for two hours from having moved nearly everything of one bucket."""
    source = PlantedSource()
    for number in range(4):
        source.add("acme", RECEIVED, vm(f"vm-{number}"), steady())
    source.add("acme", RECEIVED, vm("vm-9"), without(steady(rate=50.0), START + 6 * HOUR, START + 8 * HOUR))
    found, result = read(source, tmp_path)
    after = found["vm-9", 96]
    assert (after["doubtful"], after["rank"], found["vm-0", 96]["rank"]) == (True, 5, 1)
    assert after["share_of_tenant"] == pytest.approx(50 / 450)
    assert found["vm-0", 96]["share_of_node"] == pytest.approx(100 / 450)
    assert sum(row["share_of_tenant"] for (_, bucket), row in found.items() if bucket == 96) == pytest.approx(1)
    # Nobody can say more of the gap than its mean, so it holds in the sum while nothing was seen.
    assert result.numbers["peak_to_mean"] == pytest.approx(1.0)
    assert result.numbers["top_talker_share"] == pytest.approx(100 / 450)


def test_a_true_peak_stays_one(tmp_path):
    """Stops the smoothing of gaps from flattening a burst that was measured."""
    source = PlantedSource()
    source.add("acme", RATE, vm("a"), [(ts, 900.0 if ts < START + HOUR else 100.0) for ts in range(START, END, MINUTE)])
    _, result = read(source, tmp_path)
    assert result.numbers["peak_to_mean"] == pytest.approx(900 / ((900 + 23 * 100) / 24))


def test_equal_rates_rank_by_name(tmp_path):
    """Stops two runs from ranking equals differently."""
    source = PlantedSource()
    for name in ("c", "a", "b"):
        source.add("acme", RECEIVED, vm(name), steady())
    found, _ = read(source, tmp_path)
    assert [found[name, 50]["rank"] for name in "abc"] == [1, 2, 3]


def test_a_rate_counts_until_a_counter_appears(tmp_path):
    """Stops a counter that appears in the evening from throwing away the day's rates, and both from counting once."""
    source = PlantedSource()
    evening = START + 18 * HOUR
    source.add("acme", RATE, vm("a"), [(ts, 1000.0) for ts in range(START, END, MINUTE)])
    source.add("acme", RATE, vm("b"), [(ts, 10.0) for ts in range(START, END, MINUTE)])
    source.add("acme", RECEIVED, vm("a"), without(steady(evening, rate=7.0), evening + HOUR, evening + 2 * HOUR))
    found, result = read(source, tmp_path)
    assert received(found, "a") == pytest.approx(1000 * 18 * 3600 + 7 * (6 * 3600 - 60))
    assert [found["a", bucket]["receive_bytes_per_second_mean"] for bucket in (215, 216)] == [1000, 7]
    assert ("a", 230) not in found  # the counter's gap, of which its next increase has all
    assert received(found, "b") == 10 * 86_400
    assert {row["samples_expected"] for row in found.values()} == {5}
    assert result.facts.coverage == pytest.approx(1 - 60 / 2880, rel=1e-3)
    assert result.numbers["counters_without_start"] == 1
