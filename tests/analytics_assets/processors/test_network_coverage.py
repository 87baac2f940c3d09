"""What counts as missing in a VM's traffic, counters without a beginning, and counters of drops that are seen twice."""

from datetime import date

import pytest

from analytics_assets.processors.network_traffic import COMPONENT, NETWORK_TRAFFIC
from resources.partition import PLATFORM, Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute
from tests.analytics_assets.processors.test_network_rates import DAY, END, HOUR, MINUTE, RECEIVED, START, steady, vm

NEXT = Partition("acme", date(2026, 1, 3))
SENT = "novacron_vm_network_transmit_bytes_total"
DROPS = "libvirt_domain_interface_stats_receive_drops_total"
LATENCY = "novacron_network_latency_seconds"


def read(source: PlantedSource, folder, partition: Partition = DAY):
    result = compute(COMPONENT, source, partition, folder)
    rows = NETWORK_TRAFFIC.conform(result.data).to_pylist()
    step = 5 * MINUTE
    found = {(row["entity_id"], (int(row["ts"].timestamp() * 1000) - partition.start_ms) // step): row for row in rows}
    return found, result


def test_a_day_that_is_over_counts_whole_though_its_samples_end_early(tmp_path):
    """Stops monitoring that failed at 06:00 from being full coverage of a short day."""
    source = PlantedSource()
    for name in "abc":
        source.add("acme", RECEIVED, vm(name), steady(end=START + 6 * HOUR))
    _, over = read(source, tmp_path)
    assert (over.facts.coverage, over.facts.as_of_ms) == (pytest.approx(0.25), END)
    source.now_ms = START + 6 * HOUR
    _, running = read(source, tmp_path)
    assert (running.facts.coverage, running.facts.as_of_ms) == (1.0, START + 6 * HOUR)


def test_the_samples_of_one_vm_do_not_cover_for_another(tmp_path):
    """Stops a VM sampled every 15 s from hiding that four others were not seen for half of the day."""
    source = PlantedSource()
    source.add("acme", RECEIVED, vm("often"), steady(every=15_000))
    for name in "abcd":
        kept = [s for s in steady(every=5 * MINUTE) if not START + 6 * HOUR <= s[0] < START + 18 * HOUR]
        source.add("acme", RECEIVED, vm(name), kept)
    _, result = read(source, tmp_path)
    expected = 5760 + 4 * 288
    assert result.facts.samples_expected == pytest.approx(expected, abs=5)
    assert result.facts.samples_seen == pytest.approx(5760 + 4 * 144, abs=5)


def test_vms_that_were_there_for_an_hour_miss_nothing(tmp_path):
    """Stops batch jobs from looking like a monitoring that fails."""
    source = PlantedSource()
    for number in range(24):
        begin = START + number * HOUR
        source.add("acme", RECEIVED, vm(f"vm-{number:02}"), steady(begin, begin + HOUR))
    _, result = read(source, tmp_path)
    assert result.facts.coverage == pytest.approx(1.0, abs=0.001)


def test_a_direction_that_falls_silent_is_missing_while_the_vm_is_there(tmp_path):
    """Stops half of what a VM's exporter shows from ending unnoticed."""
    source = PlantedSource()
    for name in "ab":
        source.add("acme", RECEIVED, vm(name), steady())
        source.add("acme", SENT, vm(name), steady(end=START + 12 * HOUR))
    _, result = read(source, tmp_path)
    assert result.facts.coverage == pytest.approx(0.75, abs=0.001)


def test_links_that_fall_silent_are_missing_though_interfaces_go_on(tmp_path):
    """Stops the samples of one exporter from proving that another had nothing to say."""
    source = PlantedSource()
    labels = {"node_id": "n1", "interface": "e", "direction": "rx"}
    source.add(PLATFORM, "novacron_network_bandwidth_bytes_per_second", labels, steady(START))
    link = {"source_node": "n1", "target_node": "n2"}
    source.add(PLATFORM, f"{LATENCY}_count", link, steady(START, START + 6 * HOUR))
    source.add(PLATFORM, "novacron_network_packet_loss_rate", link,
               [(ts, 0.1) for ts in range(START, START + 6 * HOUR, MINUTE)])  # fmt: skip
    _, result = read(source, tmp_path, Partition(PLATFORM, DAY.day))
    assert result.facts.coverage == pytest.approx((1440 + 2 * 360) / (3 * 1440), abs=0.001)


@pytest.mark.parametrize(("minutes", "lost"), [(30, 0), (70, 91)])
def test_what_an_outage_across_midnight_loses_is_told(tmp_path, minutes, lost):
    """Stops an increase that began more than an hour before midnight from vanishing without a word."""
    source = PlantedSource()
    outage = range(END - minutes * MINUTE, END + 20 * MINUTE)
    source.add("acme", RECEIVED, vm("a"), [s for s in steady(end=NEXT.end_ms) if s[0] not in outage])
    source.add("acme", RECEIVED, vm("b"), steady(end=NEXT.end_ms))
    (first, _), (second, result) = read(source, tmp_path), read(source, tmp_path, NEXT)
    days = [sum(row["receive_bytes"] for (name, _), row in rows.items() if name == "a") for rows in (first, second)]
    assert sum(days) == pytest.approx(100 * (2 * 86_400 - lost * 60))
    assert result.numbers["counters_without_start"] == bool(lost)
    said = [
        note for note in result.facts.notes if note.startswith("1 counter(s) of traffic have no sample in the hour")
    ]
    assert len(said) == bool(lost)


def dropping(rate: float, begin: int = START - HOUR, end: int = END, first: float = 1e5) -> Samples:
    return [(ts, first + (ts - START + 2 * HOUR) // 1000 * rate) for ts in range(begin, end, MINUTE)]


def test_drops_that_two_servers_read_from_one_exporter_count_once(tmp_path):
    """Stops a pair of servers from doubling dropped packets, and two interfaces from counting as one."""
    source = PlantedSource()
    for replica, offset in (("a", 0), ("b", 20_000)):
        for nic, rate, first in (("vnet0", 2.0, 1e5), ("vnet1", 2.0, 3e6)):
            samples = dropping(rate, START - HOUR + offset, first=first)
            source.add("acme", DROPS, {**vm("a"), "target_device": nic, "replica": replica}, samples)
    source.add("acme", DROPS, {**vm("b"), "target_device": "vnet0"}, dropping(1.0))
    found, result = read(source, tmp_path)
    assert {row["drops_per_second"] for (name, _), row in found.items() if name == "a"} == {4.0}
    assert {row["drops_per_second"] for (name, _), row in found.items() if name == "b"} == {1.0}
    assert "2 counter(s) of dropped packets show the same as another" in " ".join(result.facts.notes)


def test_drops_over_a_gap_are_marked_and_what_is_untidy_is_counted(tmp_path):
    """Stops two hours of drops from passing as five minutes', and late counters of drops from going unseen."""
    source = PlantedSource()
    samples = [s for s in dropping(2.0) if not START + 6 * HOUR <= s[0] < START + 8 * HOUR]
    samples[300], samples[301] = samples[301], samples[300]
    source.add("acme", DROPS, {**vm("a"), "target_device": "vnet0"}, samples)
    source.add("acme", RECEIVED, vm("a"), steady())
    found, result = read(source, tmp_path)
    assert [bucket for (_, bucket), row in found.items() if row["doubtful"]] == [96]
    assert found["a", 96]["drops_per_second"] == 2.0
    assert result.numbers["late_samples"] == 1


def test_a_broken_sum_leaves_the_links_latency_finite(tmp_path):
    """Stops one value beyond any amount from storing an infinite latency."""
    source = PlantedSource()
    link = {"source_node": "n1", "target_node": "n2"}
    times = range(START, START + 20 * MINUTE, MINUTE)
    source.add(PLATFORM, f"{LATENCY}_count", link, [(ts, 10.0 * n) for n, ts in enumerate(times)])
    source.add(PLATFORM, f"{LATENCY}_sum", link, [(ts, 1e300 if n == 10 else 1.0 * n) for n, ts in enumerate(times)])
    found, result = read(source, tmp_path, Partition(PLATFORM, DAY.day))
    assert [row["latency_seconds_mean"] for row in found.values()] == [pytest.approx(0.1)] * 4
    assert result.numbers["refused_samples"] == 1


def test_two_servers_that_scrape_one_prober_count_its_observations_once(tmp_path):
    """Stops a pair of servers from doubling the observations of every link, and two probers from being one."""
    source = PlantedSource()
    for name, replica, each in (("n2", "a", 10), ("n2", "b", 10), ("n3", "a", 10), ("n3", "b", 9)):
        labels = {"source_node": "n1", "target_node": name, "replica": replica}
        for part, amount in (("count", 1.0), ("sum", 0.1)):
            times = range(START - HOUR + (20_000 if replica == "b" else 0), END, MINUTE)
            samples = [(ts, ((ts - START) // MINUTE + 100) * each * amount) for ts in times]
            source.add(PLATFORM, f"{LATENCY}_{part}", labels, samples)
    found, result = read(source, tmp_path, Partition(PLATFORM, DAY.day))
    day = {name: sum(row["latency_observations"] for (own, _), row in found.items() if own == name)
           for name in ("n1->n2", "n1->n3")}  # fmt: skip
    assert day == {"n1->n2": 10 * 1440, "n1->n3": 19 * 1440}
    assert "1 latency histograms show the same as another of their link" in " ".join(result.facts.notes)
