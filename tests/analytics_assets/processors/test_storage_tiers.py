"""Storage tiers of the platform: space, operations, throughput, latency and ratios from planted series."""

import math

import pytest

from resources.partition import DAY_MS, PLATFORM
from tests.analytics_assets.processors.storage_scenario import HOUR, START, VM_USED, Planted, made, over, total

USED = "novacron_storage_usage_bytes"
IOPS = "novacron_storage_iops"
THROUGHPUT = "novacron_storage_throughput_bytes_per_second"
LATENCY = "novacron_storage_latency_seconds"
TB = 10**12


def plant_latency(source: Planted, operation: str, scale: float = 1.0, per_minute: int = 100, **where: str) -> None:
    """Plant `per_minute` latencies: 10 % up to 1 ms, 80 % more up to 2 ms, the rest up to 4 ms, times `scale`."""

    def counter(each: float):
        return over(lambda ms: (ms + 2 * DAY_MS) // 60_000 * each)

    for bound, share in ((0.001, 0.1), (0.002, 0.9), (0.004, 1.0), (math.inf, 1.0)):
        le = "+Inf" if bound == math.inf else repr(bound * scale)
        source.tier(f"{LATENCY}_bucket", counter(share * per_minute), operation=operation, le=le, **where)
    source.tier(f"{LATENCY}_sum", counter(0.0016 * scale * per_minute), operation=operation, **where)
    source.tier(f"{LATENCY}_count", counter(per_minute), operation=operation, **where)


def whole() -> Planted:
    """A tier of which everything is measured that NovaCron measures."""
    source = Planted()
    source.tier(USED, over(lambda ms: 4 * TB + ms * 1000))
    source.tier(IOPS, over(lambda ms: 300 if ms // 60_000 % 5 else 800), operation="read")
    source.tier(IOPS, over(lambda ms: 100), operation="write")
    source.tier(THROUGHPUT, over(lambda ms: 3e6), direction="read")
    source.tier(THROUGHPUT, over(lambda ms: 1e6), direction="write")
    plant_latency(source, "read")
    plant_latency(source, "write", scale=2)
    return source


def platform(tmp_path, source, **parameters):
    return made(tmp_path, source, tenant=PLATFORM, **parameters)


def test_everything_planted_of_a_tier_is_found(tmp_path):
    """Stops reads from being taken for writes, and a peak or a unit from being lost."""
    result, rows = platform(tmp_path, whole(), tier_capacity_bytes={"ssd": 8e12})
    assert len(rows) == 288
    row = rows["ssd/n1", 60]
    assert (row["entity_kind"], row["tier"], row["node_id"]) == ("tier", "ssd", "n1")
    assert row["used_share"] == pytest.approx(0.5, rel=0.02)
    assert (row["growth_bytes"], row["growth_bytes_per_day"]) == (300_000 * 1000, DAY_MS * 1000)
    assert row["fill_share_per_day"] == pytest.approx(0.0864 / 8)
    assert (row["read_iops_mean"], row["read_iops_max"], row["write_iops_mean"]) == (400, 800, 100)
    assert row["other_iops_mean"] is None
    assert (row["read_bytes_per_second_mean"], row["write_bytes_per_second_max"]) == (3e6, 1e6)
    assert (row["read_bytes"], row["written_bytes"], row["read_share"]) == (9e8, 3e8, 0.75)
    assert total(rows, "read_bytes") == 3e6 * 86_400
    assert row["read_latency_count"] == row["write_latency_count"] == 500
    for operation, scale in (("read", 1), ("write", 2)):
        for name, seconds in (("mean", 0.0016), ("p50", 0.0015), ("p95", 0.003), ("p99", 0.0038)):
            assert row[f"{operation}_latency_seconds_{name}"] == pytest.approx(seconds * scale, rel=1e-3)
    assert (row["samples_seen"], row["samples_expected"], row["doubtful"]) == (35, 35, False)
    assert result.facts.coverage == 1.0
    assert result.numbers["slowest_tier_p95_latency_seconds"] == pytest.approx(0.006, rel=1e-3)
    assert result.numbers["growth_gb_per_day"] == pytest.approx(86.4)
    assert result.numbers["used_tb"] == pytest.approx(4.0864, rel=1e-3)


def test_ratios_are_null_and_said_until_a_metric_is_named(tmp_path):
    """Stops an unknown ratio from being 1, or 0."""
    source = whole()
    source.tier("pool_dedup", over(lambda ms: 2.5))
    source.tier("pool_dedup", over(lambda ms: 1.1), pool="scratch", tier="hdd")
    result, rows = platform(tmp_path, source)
    assert (
        {row["dedup_ratio"] for row in rows.values()} == {row["compression_ratio"] for row in rows.values()} == {None}
    )
    assert sum("_ratio is null" in note for note in result.facts.notes) == 2
    result, rows = platform(
        tmp_path, source, dedup_metric='pool_dedup{pool!="scratch"}', compression_metric="pool_compression"
    )
    assert {row["dedup_ratio"] for row in rows.values()} == {2.5}
    assert {key[0] for key in rows} == {"ssd/n1"}
    assert sum("dedup" in note for note in result.facts.notes) == 0
    assert any("'pool_compression': compression_ratio is not measured" in note for note in result.facts.notes)


def test_a_measured_capacity_wins_over_a_set_one(tmp_path):
    """Stops an old setting from hiding that a tier was enlarged; it holds for tiers without any sample."""
    source = whole()
    source.tier(USED, over(lambda ms: TB), tier="hdd")
    source.tier("size", over(lambda ms: 10 * TB, START + 12 * HOUR))
    result, rows = platform(tmp_path, source, capacity_metric="size", tier_capacity_bytes={"ssd": 5e12, "sdd": 1})
    assert {row["capacity_bytes"] for (name, _), row in rows.items() if name == "ssd/n1"} == {1e13}
    assert (rows["hdd/n1", 0]["capacity_bytes"], rows["hdd/n1", 0]["used_share"]) == (None, None)
    assert any("capacity of 1 of 2 tiers" in note for note in result.facts.notes)
    assert any(note == "tier_capacity_bytes names what sent no sample: 'sdd'." for note in result.facts.notes)


def test_a_capacity_that_is_seldom_measured_holds_until_the_next_sample(tmp_path):
    """Stops a tier that is measured every hour from alternating between that and what was set."""
    source = Planted()
    sizes = [(START + 2 * HOUR, 4e12), (START + 3 * HOUR, 5e12)]
    for node in ("n1", "n2"):
        source.tier(USED, over(lambda ms: TB), node=node)
    source.tier(USED, over(lambda ms: TB), node="n0")
    source.tier("size", over(lambda ms: 9e12), node="n0")
    source.tier("size", sizes, node="n1")
    _, rows = platform(tmp_path, source, capacity_metric="size", tier_capacity_bytes={"ssd": 2e12})
    found = [rows["ssd/n1", bucket]["capacity_bytes"] for bucket in (0, 24, 35, 36, 287)]
    assert found == [4e12, 4e12, 4e12, 5e12, 5e12]
    assert {row["capacity_bytes"] for (name, _), row in rows.items() if name == "ssd/n0"} == {9e12}
    assert {row["capacity_bytes"] for (name, _), row in rows.items() if name == "ssd/n2"} == {2e12}


def test_bytes_and_coverage_are_of_each_tiers_own_interval(tmp_path):
    """Stops a tier sampled every 15 s from moving 20 times its bytes because others are sampled every 5 minutes."""
    source = Planted(interval_seconds=None)
    for node, every in (("a", 15_000), ("b", 300_000), ("c", 300_000)):
        source.tier(THROUGHPUT, over(lambda ms: 1000.0, every_ms=every), node=node, direction="read")
    result, rows = platform(tmp_path, source)
    for name, expected in (("ssd/a", 20), ("ssd/b", 1), ("ssd/c", 1)):
        own = {key: row for key, row in rows.items() if key[0] == name}
        assert total(own, "read_bytes") == 1000 * 86_400
        assert {row["samples_expected"] for row in own.values()} == {expected}
    assert result.facts.coverage == 1.0


def test_an_hour_of_a_rate_stays_true_at_a_finer_grid(tmp_path):
    """Stops a bucket narrower than the interval from holding only its own part of what a sample stands for."""
    source = Planted(interval_seconds=None)
    source.tier(THROUGHPUT, over(lambda ms: 1000.0, every_ms=300_000), direction="read")
    _, rows = platform(tmp_path, source, resolution=60)
    assert total(rows, "read_bytes") == 1000 * 86_400


def test_two_servers_that_scrape_one_exporter_count_its_operations_once(tmp_path):
    """Stops a pair of servers from doubling the operations of every tier."""
    source = Planted()
    for replica in ("a", "b"):
        plant_latency(source, "read", prometheus=replica)
    result, rows = platform(tmp_path, source)
    assert total(rows, "read_latency_count") == 100 * 1440
    assert rows["ssd/n1", 60]["read_latency_seconds_p95"] == pytest.approx(0.003, rel=1e-3)
    assert "1 latency histogram(s) show the same as another" in " ".join(result.facts.notes)


def test_what_is_not_measured_is_null_and_said(tmp_path):
    """Stops a tier without a latency histogram from being infinitely fast."""
    source = Planted()
    source.tier(IOPS, over(lambda ms: 5.0), operation="read")
    result, rows = platform(tmp_path, source)
    row = rows["ssd/n1", 0]
    known = {"read_iops_mean", "read_iops_max", "samples_seen", "samples_expected", "doubtful"}
    identity = {"entity_kind", "entity_id", "tier", "node_id", "ts"}
    assert {name for name, value in row.items() if value is not None} == known | identity
    for missing in (USED, THROUGHPUT, LATENCY):
        assert sum(note.startswith(f"There is no sample of {missing}:") for note in result.facts.notes) == 1
    assert "slowest_tier_p95_latency_seconds" not in result.numbers


def test_spellings_of_operations_and_sums_of_all(tmp_path):
    """Stops r and w from being other operations, and a total from being added to its parts."""
    source = Planted()
    for operation, value in (("r", 10), ("W", 20), ("flush", 3), ("discard", 4), ("total", 37), ("ALL", 37)):
        source.tier(IOPS, over(lambda ms, value=value: value), operation=operation)
    source.tier(IOPS, over(lambda ms: 99.0), node="n2")
    source.tier(THROUGHPUT, over(lambda ms: 5.0), direction="sideways" * 50)
    result, rows = platform(tmp_path, source)
    row = rows["ssd/n1", 9]
    assert (row["read_iops_mean"], row["write_iops_mean"], row["other_iops_mean"]) == (10, 20, 7)
    assert (row["samples_seen"], row["samples_expected"]) == (15, 15)
    assert {key[0] for key in rows} == {"ssd/n1"}
    said = next(note for note in result.facts.notes if note.startswith("Neither reads nor writes"))
    assert all(text in said for text in ("'total'", "'ALL'", "''", "'sidewayssideways"))
    assert len(said) < 500
    assert "flush" not in said


def test_tiers_whose_names_hold_a_slash_stay_apart(tmp_path):
    """Stops tier a/b on node c and tier a on node b/c from sharing a key, which refuses the whole day."""
    source = Planted()
    places = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "\x1fb"), ("a\x1f", "b"), ("x' OR 1=1", "ü")]
    for number, (tier, node) in enumerate(places):
        source.tier(USED, over(lambda ms, number=number: number + 1.0), tier=tier, node=node)
        plant_latency(source, "read", tier=tier, node=node)
    _, rows = platform(tmp_path, source, tier_capacity_bytes={"a/b": 10})
    found = {(row["tier"], row["node_id"]): row["used_bytes_mean"] for row in rows.values()}
    assert found == {place: number + 1.0 for number, place in enumerate(places)}
    assert {key[0] for key in rows} >= {"a%2Fb/c", "a/b%2Fc", "a%252Fb/c"}
    assert {row["read_latency_count"] for row in rows.values()} == {500}
    assert {row["tier"] for row in rows.values() if row["capacity_bytes"]} == {"a/b"}


def test_series_without_a_tier_are_left_out_and_said(tmp_path):
    """Stops a node's total from being a tier without a name; a tier without a node is one of all nodes."""
    source = Planted()
    source.add(PLATFORM, USED, {"node_id": "n1"}, over(lambda ms: 9.0))
    source.add(PLATFORM, USED, {"tier": "", "node_id": "n1"}, over(lambda ms: 9.0))
    source.add(PLATFORM, USED, {"tier": "shared"}, over(lambda ms: 7.0))
    result, rows = platform(tmp_path, source)
    assert {key[0] for key in rows} == {"shared"}
    assert (rows["shared", 0]["node_id"], rows["shared", 0]["used_bytes_mean"]) == (None, 7.0)
    assert "2 series without a tier label were left out." in result.facts.notes


def test_a_restarted_exporter_and_a_gap_lose_no_operations(tmp_path):
    """Stops a histogram's reset from becoming negative, and a gap from becoming one busy bucket unmarked."""
    source = Planted()
    plant_latency(source, "read")
    gap = (START + 2 * HOUR, START + 4 * HOUR)
    reset = START + 8 * HOUR
    rows_of = source.series[PLATFORM]
    for number, (name, labels, samples) in enumerate(rows_of):
        at_reset = dict(samples)[reset]
        kept = [(ts, value - at_reset if ts > reset else value) for ts, value in samples if not gap[0] <= ts < gap[1]]
        rows_of[number] = (name, labels, kept)
    result, rows = platform(tmp_path, source)
    assert [key[1] for key, row in rows.items() if row["doubtful"]] == [48]
    assert total(rows, "read_latency_count") == pytest.approx(100 * 1440)
    assert rows["ssd/n1", 96]["read_latency_seconds_p95"] == pytest.approx(0.003, rel=1e-3)
    assert ("ssd/n1", 30) not in rows
    assert result.facts.coverage == pytest.approx(1 - 120 / 1440)


def test_tiers_on_several_nodes_with_unequal_samples(tmp_path):
    """Stops one node's samples from being another's, and a node that vanished from showing full coverage.

    Tier ssd of n1 was taken out at noon, while the other went on; of n2 both went silent.
    """
    source = Planted()
    for number, (ssd, hdd) in enumerate([(24, 24), (12, 24), (12, 12)]):
        for tier, hours, value in (("ssd", ssd, number + 1.0), ("hdd", hdd, number + 11.0)):
            source.tier(USED, over(lambda ms, value=value: value, end_ms=START + hours * HOUR), tier, f"n{number}")
    result, rows = platform(tmp_path, source)
    assert {key[0]: row["used_bytes_max"] for key, row in rows.items()} == {
        **{f"ssd/n{number}": number + 1.0 for number in range(3)},
        **{f"hdd/n{number}": number + 11.0 for number in range(3)},
    }
    assert sum(key[0] == "ssd/n2" for key in rows) == 144
    assert result.facts.coverage == pytest.approx(4.5 / 5.5, rel=1e-3)
    assert result.numbers["entities"] == 6


def test_the_interval_is_measured_by_metric(tmp_path):
    """Stops a slow metric from being held to the interval of a fast one, in coverage and in bytes."""
    source = Planted(interval_seconds=None)
    source.tier(USED, over(lambda ms: 1.0, every_ms=150_000))
    source.tier(THROUGHPUT, over(lambda ms: 2.0, every_ms=15_000), direction="r")
    plant_latency(source, "write")
    result, rows = platform(tmp_path, source)
    assert total(rows, "read_bytes") == 2 * 86_400
    assert {(row["samples_seen"], row["samples_expected"]) for row in rows.values()} == {(27, 27)}
    assert result.facts.coverage == 1.0


def test_impossible_samples_are_left_out_and_counted(tmp_path):
    """Stops a negative gauge or counter from becoming a figure."""
    source = Planted()
    source.tier(USED, [*over(lambda ms: 5.0), (START + 1, -5.0), (START + 2, math.nan), (START + 3, 1e200)])
    source.tier(f"{LATENCY}_count", [*over(lambda ms: ms + DAY_MS), (START + 30_000, -1.0)], operation="read")
    result, rows = platform(tmp_path, source)
    assert {row["used_bytes_max"] for row in rows.values()} == {5.0}
    assert total(rows, "read_latency_count") == DAY_MS
    assert result.numbers["impossible_samples"] == 4


def test_no_tier_at_all(tmp_path):
    """Stops an empty day from failing, or from listing every metric that is not there."""
    source = Planted()
    source.tier(USED, over(lambda ms: 1.0, START - DAY_MS, START))
    result, rows = platform(tmp_path, source, tier_capacity_bytes={"ssd": 1})
    assert rows == {}
    assert result.facts.notes == ("No storage tier sent a sample on this day.",)
    assert result.facts.coverage is None


def test_the_platform_reads_no_volumes(tmp_path):
    """Stops tenants' VMs from appearing among the operator's tiers; nothing but the platform is asked for."""
    source = whole()
    source.vm(VM_USED, over(lambda ms: 1.0))
    source.add(PLATFORM, VM_USED, {"vm_id": "vm-1", "node_id": "n1"}, over(lambda ms: 1.0))
    _, rows = platform(tmp_path, source, dedup_metric="pool_dedup")
    assert {row["entity_kind"] for row in rows.values()} == {"tier"}
    assert {call[0] for call in source.calls} == {PLATFORM}
    assert not any("novacron_vm_" in name for _, names, _, _ in source.asked for name in names)
    assert all(end == START + DAY_MS for *_, end in source.asked)


def test_order_of_series_changes_nothing(tmp_path):
    """Stops a re-run against a server that answers in another order from giving other bytes."""
    found = []
    for turn in (1, -1):
        source = whole()
        source.tier(IOPS, over(lambda ms: 0.1 + ms % 7), operation="flush")
        source.tier(IOPS, over(lambda ms: 0.2 + ms % 11), operation="trim")
        source.tier(IOPS, over(lambda ms: 0.7 + ms % 17), operation="seek")
        source.tier(USED, over(lambda ms: ms % 13), tier="hdd")
        source.series[PLATFORM] = source.series[PLATFORM][::turn]
        found.append(platform(tmp_path, source)[1])
    assert found[0] == found[1]


def test_series_of_a_tier_may_come_in_several_batches(tmp_path):
    """Stops the operations of one batch from replacing those of another: only a VM's series stay together."""

    class Scattered(Planted):
        def samples(self, *asked):
            for batch in super().samples(*asked):
                for number in range(len(batch.labels)):
                    yield batch.where(lambda labels, one=batch.labels[number]: labels is one)

    def plant(source):
        source.tier(IOPS, over(lambda ms: 2.0), operation="flush")
        source.tier(IOPS, over(lambda ms: 3.0), operation="trim")
        source.tier(USED, over(lambda ms: 1.0), tier="hdd")
        source.series[PLATFORM] += whole().series[PLATFORM]
        return source

    scattered, together = (platform(tmp_path, plant(source)) for source in (Scattered(), Planted()))
    assert scattered[1]["ssd/n1", 5]["other_iops_mean"] == 5
    assert scattered[1] == together[1]
    assert scattered[0].facts == together[0].facts
