"""A tenant's traffic: totals that lose nothing, shares, ranks, and what is not known."""

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from analytics_assets.processors.network_traffic import COMPONENT, NETWORK_TRAFFIC
from resources.lake.lake import encode
from resources.partition import Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute

DAY = Partition("acme", date(2026, 1, 2))
NEXT = Partition("acme", date(2026, 1, 3))
MINUTE = 60_000
STEP = 5 * MINUTE
COUNTER = {way: f"novacron_vm_network_{way}_bytes_total" for way in ("receive", "transmit")}
RATE = {way: f"novacron_vm_network_{way}_bytes_per_second" for way in ("receive", "transmit")}
DROPS = [f"libvirt_domain_interface_stats_{way}_drops_total" for way in ("receive", "transmit")]


def vm(name: str, node: str = "n1", **more: str) -> dict[str, str]:
    return {"vm_id": name, "node_id": node, "tenant_id": "acme", **more}


def counted(rates: list[float], begin: int = DAY.start_ms, every: int = MINUTE, first: float = 1000.0) -> Samples:
    """A counter sampled from `begin` on that moves `rates[i]` bytes/s in the interval after sample `i`."""
    values = first + np.r_[0.0, np.cumsum(np.array(rates) * every / 1000)]
    return [(begin + number * every, float(value)) for number, value in enumerate(values)]


def read(source: PlantedSource, folder, partition: Partition = DAY, **parameters):
    result = compute(COMPONENT, source, partition, folder, **parameters)
    rows = NETWORK_TRAFFIC.conform(result.data).to_pylist()
    return {
        (row["entity_id"], (int(row["ts"].timestamp() * 1000) - partition.start_ms) // STEP): row for row in rows
    }, result


def both(source: PlantedSource, labels: dict[str, str], receive: Samples, transmit: Samples) -> None:
    source.add("acme", COUNTER["receive"], labels, receive)
    source.add("acme", COUNTER["transmit"], labels, transmit)


def test_rates_totals_and_what_follows_from_them(tmp_path):
    """Stops a total that is a mean, a peak that is averaged away, and a share of something else."""
    source = PlantedSource(now_ms=DAY.start_ms + 6 * MINUTE)
    both(source, vm("a"), counted([10, 10, 10, 10, 60]), counted([0] * 5))
    both(source, vm("b", "n2"), counted([5] * 5), counted([15] * 5))
    found, result = read(source, tmp_path)
    first, second = found["a", 0], found["b", 0]
    # The increase from minute 4 to minute 5 ends in the next bucket.
    assert (first["receive_bytes"], found["a", 1]["receive_bytes"]) == (2400.0, 3600.0)
    assert first["receive_bytes_per_second_mean"] == 10.0
    assert (found["a", 1]["receive_bytes_per_second_max"], found["a", 1]["rank"]) == (60.0, 1)
    assert (first["node_id"], first["entity_kind"], first["interface"]) == ("n1", "vm", None)
    assert (first["asymmetry"], second["asymmetry"]) == (1.0, -0.5)
    assert first["share_of_tenant"] == pytest.approx(2400 / 7200)
    assert first["share_of_node"] == 1.0
    assert (first["rank"], second["rank"]) == (2, 1)
    assert first["doubtful"] is False
    assert (first["samples_seen"], first["samples_expected"]) == (10, 10)
    assert result.numbers["vms"] == 2
    assert result.numbers["total_gigabytes"] == pytest.approx((6000 + 6000) / 1e9)
    assert result.numbers["top_talker_share"] == pytest.approx(0.5)
    assert result.facts.as_of_ms == DAY.start_ms + 2 * STEP


def test_peak_to_mean_is_of_both_directions(tmp_path):
    """Stops the ratio of a direction that hardly moves anything from standing for the VM."""
    source = PlantedSource()
    both(source, vm("a"), counted([10, 10, 10, 30]), counted([0, 0, 0, 0]))
    both(source, vm("idle"), counted([0] * 4), counted([0] * 4))
    found, _ = read(source, tmp_path)
    assert found["a", 0]["peak_to_mean"] == pytest.approx(30 / 15)
    idle = found["idle", 0]
    assert (idle["peak_to_mean"], idle["asymmetry"], idle["rank"]) == (None, None, None)
    assert (idle["share_of_tenant"], idle["receive_bytes"]) == (0.0, 0.0)


def test_where_nothing_moved_there_is_no_share(tmp_path):
    """Stops a division by no traffic at all from becoming a share of 0 or NaN."""
    source = PlantedSource()
    both(source, vm("a"), counted([0] * 4), counted([0] * 4))
    found, result = read(source, tmp_path)
    assert (found["a", 0]["share_of_tenant"], found["a", 0]["share_of_node"]) == (None, None)
    assert "top_talker_share" not in result.numbers


def test_the_days_sum_up_to_what_was_counted(tmp_path):
    """Stops the increase across midnight from counting in both days or in neither."""
    source = PlantedSource()
    samples = counted([7, 11, 13, 17, 19, 23], begin=NEXT.start_ms - 3 * MINUTE - 7_000)
    both(source, vm("a"), samples, counted([1] * 6, begin=NEXT.start_ms - 3 * MINUTE))
    by_day = []
    for partition in (DAY, NEXT):
        found, _ = read(source, tmp_path, partition)
        by_day.append(
            (sum(row["receive_bytes"] for row in found.values()), sum(row["transmit_bytes"] for row in found.values()))
        )
    assert by_day[0] == ((7 + 11 + 13) * 60, 2 * 60)
    assert by_day[1] == ((17 + 19 + 23) * 60, 4 * 60)  # a sample just at midnight is of the new day


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(-90, 60), st.one_of(st.integers(0, 10_000), st.just(math.nan), st.just(-1))),
        min_size=2, max_size=40,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_two_days_hold_every_increase_once(tmp_path_factory, given_samples, random):
    """Stops any loss between days: late, repeated and broken samples, resets, gaps across midnight."""
    samples = [(NEXT.start_ms + minute * MINUTE, float(value)) for minute, value in given_samples]
    random.shuffle(samples)
    source = PlantedSource()
    source.add("acme", COUNTER["receive"], vm("a"), samples)
    latest = {ts: value for ts, value in samples if value >= 0}
    expected, before = 0.0, None
    for ts in sorted(latest):
        # Across midnight only what began in the lead-in; before it, nobody can say on which day it was.
        if before is not None and (ts < NEXT.start_ms or before >= NEXT.start_ms - 3_600_000):
            expected += latest[ts] if latest[ts] < latest[before] else latest[ts] - latest[before]
        before = ts
    folder = tmp_path_factory.getbasetemp()
    total = sum(row["receive_bytes"] for day in (DAY, NEXT) for row in read(source, folder, day)[0].values())
    assert total == pytest.approx(expected)


def test_a_reset_counts_from_zero(tmp_path):
    """Stops a restarted VM from losing what it moved, and from having moved a negative amount."""
    source = PlantedSource()
    source.add(
        "acme",
        COUNTER["receive"],
        vm("a"),
        [(DAY.start_ms + n * MINUTE, v) for n, v in enumerate([100.0, 160.0, 30.0])],
    )
    found, _ = read(source, tmp_path)
    assert found["a", 0]["receive_bytes"] == 90.0
    assert found["a", 0]["transmit_bytes"] is None
    assert found["a", 0]["asymmetry"] is None
    assert found["a", 0]["rank"] == 1


def test_a_gap_keeps_the_total_and_marks_the_bucket(tmp_path):
    """Stops an hour without samples from losing its bytes, and its sum from passing as five minutes' traffic."""
    source = PlantedSource()
    samples = counted([10] * 100)
    source.add("acme", COUNTER["receive"], vm("a"), samples[:10] + samples[70:])
    found, result = read(source, tmp_path)
    assert sum(row["receive_bytes"] for row in found.values()) == 60_000
    assert [bucket for (_, bucket), row in found.items() if row["doubtful"]] == [14]
    assert found["a", 14]["receive_bytes_per_second_max"] == 10.0
    assert result.numbers["doubtful_buckets"] == 1
    assert result.facts.coverage < 0.5


def test_the_series_a_migration_left_behind_adds_nothing(tmp_path):
    """Stops a migrated VM from counting twice: its old series stays exposed, frozen."""
    source = PlantedSource()
    old = counted([10] * 9 + [0] * 50)
    new = counted([10] * 50, begin=DAY.start_ms + 10 * MINUTE, first=1000.0 + 6000.0)
    source.add("acme", COUNTER["receive"], vm("a", "n1"), old)
    source.add("acme", COUNTER["receive"], vm("a", "n2"), new)
    found, _ = read(source, tmp_path)
    assert sum(row["receive_bytes"] for row in found.values()) == 9 * 600 + 50 * 600
    assert (found["a", 0]["node_id"], found["a", 11]["node_id"]) == ("n1", "n2")
    assert all(row["samples_seen"] <= 5 for row in found.values())


def test_shares_of_every_bucket_add_up_and_ranks_are_told_apart(tmp_path):
    """Stops shares over the wrong bucket or node, and two VMs of one rank."""
    random = np.random.default_rng(3)
    source = PlantedSource()
    for number in range(12):
        rates = random.integers(0, 5, 30).astype(float) if number else np.zeros(30)
        both(source, vm(f"vm-{number:02}", f"n{number % 3}"), counted(list(rates)), counted(list(rates[::-1])))
    found, _ = read(source, tmp_path)
    for bucket in range(6):
        rows = [row for (_, at), row in found.items() if at == bucket]
        assert sum(row["share_of_tenant"] for row in rows) == pytest.approx(1, abs=1e-6)
        for node in ("n0", "n1", "n2"):
            assert sum(row["share_of_node"] for row in rows if row["node_id"] == node) == pytest.approx(1, abs=1e-6)
        ranked = sorted((row for row in rows if row["rank"]), key=lambda row: row["rank"])
        assert [row["rank"] for row in ranked] == list(range(1, len(ranked) + 1))
        order = [-(row["receive_bytes_per_second_mean"] + row["transmit_bytes_per_second_mean"]) for row in ranked]
        assert order == pytest.approx(sorted(order))
        assert "vm-00" not in {row["entity_id"] for row in ranked}


def test_a_rate_stands_for_its_samples_and_a_counter_beats_it(tmp_path):
    """Stops a VM with both from counting twice, and a rate's bytes from covering more than two intervals."""
    source = PlantedSource()
    source.add(
        "acme",
        RATE["receive"],
        vm("rated"),
        [(DAY.start_ms + n * MINUTE, 10.0 * (n + 1)) for n in (0, 1, 5, 6, 7, 8, 9)],
    )
    source.add("acme", RATE["receive"], vm("counted"), [(DAY.start_ms + n * MINUTE, 999.0) for n in range(60)])
    source.add(
        "acme",
        COUNTER["receive"],
        vm("counted"),
        counted([1] * 3) + counted([1] * 3, begin=DAY.start_ms + 30 * MINUTE, first=1000 + 30 * 60),
    )
    found, result = read(source, tmp_path)
    assert found["rated", 0]["receive_bytes"] == 15.0 * 120
    assert found["rated", 1]["receive_bytes"] == 60.0 * 120 + (70.0 + 80.0 + 90.0 + 100.0) * 60
    assert sum(row["receive_bytes"] or 0 for (name, _), row in found.items() if name == "counted") == 33 * 60
    assert all((row["receive_bytes_per_second_max"] or 0) <= 1 for (name, _), row in found.items() if name == "counted")
    assert "a sample of its rate stands for the seconds" in " ".join(result.facts.notes)


@pytest.mark.parametrize(("interval", "transmitted"), [(900, 8.0 * 900), (60, 8.0 * 60), (None, None)])
def test_a_single_sample_of_a_rate_stands_for_the_known_interval_or_tells_no_bytes(tmp_path, interval, transmitted):
    """Stops a trace of 15 minutes' steps from losing two thirds of its bytes, and bytes from being invented."""
    source = PlantedSource(interval=interval)
    source.add("acme", RATE["transmit"], vm("a"), [(DAY.start_ms, 8.0)])
    found, result = read(source, tmp_path)
    assert (found["a", 0]["transmit_bytes"], found["a", 0]["transmit_bytes_per_second_mean"]) == (transmitted, 8.0)
    assert found["a", 0]["samples_expected"] >= 1
    assert result.facts.samples_seen == 1


def test_drops_are_added_over_the_interfaces_of_a_vm(tmp_path):
    """Stops one of two interfaces from speaking for the VM, and a series found by two selectors from counting twice."""
    source = PlantedSource()
    both(source, vm("a"), counted([1] * 5), counted([1] * 5))
    both(source, vm("b"), counted([1] * 5), counted([1] * 5))
    for nic, rate in (("vnet0", 2.0), ("vnet1", 3.0)):
        source.add("acme", DROPS[0], {"vm_id": "a", "target_device": nic}, counted([rate] * 5))
    source.add("acme", DROPS[1], {"vm_id": "a", "target_device": "vnet0"}, counted([0.5] * 5))
    source.add("acme", DROPS[1], {"domain": "nameless"}, counted([100.0] * 5))
    found, result = read(source, tmp_path, drop_metrics=[*DROPS, f'{DROPS[0]}{{target_device="vnet1"}}'])
    assert found["a", 0]["drops_per_second"] == pytest.approx(5.5)
    assert found["b", 0]["drops_per_second"] is None
    assert found["a", 0]["samples_seen"] == found["b", 0]["samples_seen"]
    assert "1 counter(s) of dropped packets carry no vm_id" in " ".join(result.facts.notes)


def test_without_drop_counters_drops_are_unknown(tmp_path):
    """Stops a missing exporter from looking like a network that drops nothing."""
    source = PlantedSource()
    both(source, vm("a"), *[counted([1] * 10, begin=DAY.start_ms - 5 * MINUTE)] * 2)
    found, result = read(source, tmp_path)
    assert found["a", 0]["drops_per_second"] is None
    assert "Dropped packets are unknown" in " ".join(result.facts.notes)
    source.calls.clear()
    _, quiet = read(source, tmp_path, drop_metrics=[])
    assert [note for note in quiet.facts.notes if "Most bytes" not in note] == []
    assert not any("libvirt" in text for call in source.calls for text in call[1])


def test_only_the_tenants_own_series_are_asked_for(tmp_path):
    """Stops a tenant's rows from ever holding another tenant's, a node's or a link's traffic."""
    source = PlantedSource()
    both(source, vm("a"), counted([1] * 5), counted([1] * 5))
    source.add("rival", COUNTER["receive"], {**vm("z"), "tenant_id": "rival"}, counted([1000] * 5))
    source.add("platform", "novacron_network_bandwidth_bytes_per_second",
               {"node_id": "n1", "interface": "eth0", "direction": "receive"}, [(DAY.start_ms, 1.0)])  # fmt: skip
    before, first = read(source, tmp_path)
    assert {call[0] for call in source.calls} == {"acme"}
    assert not any("novacron_network" in text for call in source.calls for text in call[1])
    assert {row["entity_kind"] for row in before.values()} == {"vm"}
    assert before["a", 0]["share_of_tenant"] == 1.0
    source.series["rival"] = [(COUNTER["receive"], vm("z"), counted([5] * 5))]
    second = read(source, tmp_path)[1]
    assert encode(NETWORK_TRAFFIC, first.data, first.facts) == encode(NETWORK_TRAFFIC, second.data, second.facts)


def test_the_order_in_which_series_come_changes_no_byte(tmp_path):
    """Stops one server's answer from giving other bytes than another's."""
    source = PlantedSource()
    for number in range(5):
        both(source, vm(f"vm-{number}", f"n{number % 2}"), counted([number] * 20), counted([3] * 20))
    first = read(source, tmp_path)[1]
    source.series["acme"].reverse()
    second = read(source, tmp_path)[1]
    assert encode(NETWORK_TRAFFIC, first.data, first.facts) == encode(NETWORK_TRAFFIC, second.data, second.facts)
    assert first.numbers == second.numbers


def test_the_summary_names_the_top_talkers(tmp_path):
    """Stops the day's summary from adding up percentages of buckets."""
    source = PlantedSource()
    hostile = "x" * 500 + "\n<script>"
    for name, rate in (("small", 1), ("big", 6), (hostile, 3)):
        both(source, vm(name), counted([rate] * 10), counted([0] * 10))
    _, result = read(source, tmp_path, top_talkers=2, rate_percentile=50)
    note = result.facts.notes[-1]
    assert note.startswith("Most bytes: 'big' 60.0%, 'xxx")
    assert "together 90.0% of 0.000 GB." in note
    assert "\n" not in note
    assert len(note) < 300
    assert "small" not in note
    assert result.numbers["top_talker_share"] == pytest.approx(0.6)
    assert result.numbers["top_talkers_share"] == pytest.approx(0.9)
    # Of the three buckets the first has 4 increases, the second 5, the third 1: all at the same rate.
    assert result.numbers["percentile_bytes_per_second"] == pytest.approx(10)
    assert result.numbers["peak_to_mean"] == pytest.approx(1)


def test_broken_samples_are_left_out_and_counted(tmp_path):
    """Stops NaN, infinities and negative values from reaching a total."""
    source = PlantedSource()
    samples = counted([10] * 9)
    broken = [*samples[:3], (samples[2][0], samples[2][1]), (samples[3][0], math.nan), (samples[4][0], math.inf),
              (samples[5][0], -5.0), *samples[6:]]  # fmt: skip
    source.add("acme", COUNTER["receive"], vm("a"), broken)
    source.add("acme", COUNTER["receive"], {"tenant_id": "acme"}, samples)
    found, result = read(source, tmp_path)
    assert sum(row["receive_bytes"] for row in found.values()) == 5400.0
    assert {name for name, _ in found} == {"a"}
    counts = {name: result.numbers[f"{name}_samples"] for name in ("not_finite", "refused", "repeated")}
    assert counts == {"not_finite": 2, "refused": 1, "repeated": 1}


def test_hostile_ids_stay_what_they_are(tmp_path):
    """Stops a VM from taking another's rows by its name."""
    names = ["a", "a\x1fb", "a/b", "'; DROP TABLE x", "ä\u202e", " "]
    source = PlantedSource()
    for name in names:
        both(source, vm(name), counted([1] * 5), counted([1] * 5))
    found, _ = read(source, tmp_path)
    assert {name for name, _ in found} == set(names)
    assert all(row["receive_bytes"] == 240 for (_, bucket), row in found.items() if bucket == 0)


def test_a_day_without_samples_says_so(tmp_path):
    """Stops an empty table that does not say why."""
    result = read(PlantedSource(), tmp_path)[1]
    assert result.data.num_rows == 0
    assert result.facts.notes[0] == "No VM of this tenant sent a sample of its network traffic on this day."
    assert result.facts.coverage is None
    assert result.facts.as_of_ms == DAY.end_ms
    assert result.numbers["total_gigabytes"] == 0


def test_samples_before_the_day_alone_are_no_rows(tmp_path):
    source = PlantedSource()
    both(source, vm("a"), counted([1] * 3, begin=DAY.start_ms - 10 * MINUTE), [(DAY.start_ms, 5.0)])
    found, result = read(source, tmp_path)
    assert not found
    assert result.facts.samples_seen == 0


@pytest.mark.parametrize("text", ["rate(x[5m])", "{}", "x{", 'x{a="('])
def test_a_drop_metric_that_is_no_selector_is_refused_when_it_is_set(text):
    """Stops a wrong selector from being found out at night."""
    with pytest.raises(ValidationError, match="not a series selector"):
        COMPONENT.parameters(drop_metrics=[text])


def test_the_window_asked_for_is_the_day_and_the_lead_in(tmp_path):
    source = PlantedSource()
    read(source, tmp_path)
    windows = {call[2:] for call in source.calls if call[1] != ("interval",)}
    assert windows == {(DAY.start_ms - 3_600_000, DAY.end_ms)}
    assert DAY.day + timedelta(days=1) == NEXT.day
