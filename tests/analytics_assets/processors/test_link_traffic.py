"""The platform's traffic: interfaces by direction, latency and loss of links, and names that try to be others."""

import math
from datetime import date

import numpy as np
import pytest

from analytics_assets.processors.network_traffic import COMPONENT, NETWORK_TRAFFIC
from resources.partition import PLATFORM, Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute

DAY = Partition(PLATFORM, date(2026, 1, 2))
MINUTE = 60_000
STEP = 5 * MINUTE
BANDWIDTH = "novacron_network_bandwidth_bytes_per_second"
LATENCY = "novacron_network_latency_seconds"
LOSS = "novacron_network_packet_loss_rate"
BOUNDS = ("0.001", "0.01", "0.1", "+Inf")


def sampled(values: list[float], begin: int = DAY.start_ms) -> Samples:
    return [(begin + number * MINUTE, value) for number, value in enumerate(values)]


def interface(source: PlantedSource, node: str, name: str, direction: str, values: list[float]) -> None:
    labels = {"node_id": node, "interface": name, "direction": direction}
    source.add(PLATFORM, BANDWIDTH, labels, sampled(values))


def latency(source: PlantedSource, link: dict[str, str], rises: list[float], total: float, times: int = 6) -> None:
    """Between two samples `rises[i]` observations of at most `BOUNDS[i]`, `total` seconds in all."""
    for bound, rise in zip(BOUNDS, rises, strict=True):
        source.add(PLATFORM, f"{LATENCY}_bucket", {**link, "le": bound}, sampled([rise * n for n in range(times)]))
    source.add(PLATFORM, f"{LATENCY}_sum", link, sampled([total * n for n in range(times)]))
    source.add(PLATFORM, f"{LATENCY}_count", link, sampled([rises[-1] * n for n in range(times)]))


def read(source: PlantedSource, folder, **parameters):
    result = compute(COMPONENT, source, DAY, folder, **parameters)
    rows = NETWORK_TRAFFIC.conform(result.data).to_pylist()
    return {(row["entity_id"], (int(row["ts"].timestamp() * 1000) - DAY.start_ms) // STEP): row for row in rows}, result


def link(source: str = "n1", target: str = "n2", **more: str) -> dict[str, str]:
    return {"source_node": source, "target_node": target, **more}


def test_an_interface_has_both_its_directions_whatever_they_are_called(tmp_path):
    """Stops half of the traffic from vanishing under another word for its direction."""
    source = PlantedSource()
    for number, (received, sent) in enumerate(
        [("receive", "transmit"), ("rx", "tx"), ("In", "OUT"), ("ingress", "egress")]
    ):
        interface(source, "n1", f"eth{number}", received, [100.0, 300.0])
        interface(source, "n1", f"eth{number}", sent, [50.0, 50.0])
    interface(source, "n2", "eth0", "receive", [1600.0, 1600.0])
    interface(source, "n2", "eth0", "sideways", [1e9, 1e9])
    found, result = read(source, tmp_path)
    row = found["n1/eth2", 0]
    assert (row["entity_kind"], row["node_id"], row["interface"], row["source_node"]) == (
        "interface",
        "n1",
        "eth2",
        None,
    )
    assert (row["receive_bytes_per_second_mean"], row["receive_bytes_per_second_max"]) == (200.0, 300.0)
    assert (row["receive_bytes"], row["transmit_bytes"]) == (200.0 * 120, 50.0 * 120)
    assert row["peak_to_mean"] == pytest.approx(350 / 250)
    assert row["share_of_node"] == pytest.approx(1 / 4)
    assert row["share_of_tenant"] == pytest.approx(250 / 2600)
    assert row["rank"] == 4
    assert (row["samples_seen"], row["samples_expected"]) == (4, 10)
    assert (found["n2/eth0", 0]["rank"], found["n2/eth0", 0]["transmit_bytes"]) == (1, None)
    assert (result.numbers["interfaces"], result.numbers["links"]) == (5, 0)
    notes = " ".join(result.facts.notes)
    assert "1 series of interfaces have a direction that is neither receive nor transmit ('sideways')" in notes
    assert "'n2/eth0' 61.5%" in notes


def test_a_link_has_the_latency_of_its_histogram_and_its_loss(tmp_path):
    """Stops latency from being read off the wrong bound, the wrong link, or the exporter's whole life."""
    source = PlantedSource()
    latency(source, link(), [10, 80, 100, 100], 1.5)
    latency(source, link("n2", "n1"), [0, 0, 0, 10], 5.0)
    source.add(PLATFORM, LOSS, link(), sampled([0.0, 0.02, 0.01, 0.01]))
    source.add(PLATFORM, LOSS, link("n1", "n3"), sampled([0.0]))
    found, result = read(source, tmp_path)
    row = found["n1->n2", 0]
    assert (row["entity_kind"], row["source_node"], row["target_node"], row["node_id"]) == ("link", "n1", "n2", None)
    assert row["latency_observations"] == 400
    assert row["latency_seconds_mean"] == pytest.approx(0.015)
    assert row["latency_seconds_p50"] == pytest.approx(0.001 + 0.009 * 40 / 70)
    assert row["latency_seconds_p95"] == pytest.approx(0.01 + 0.09 * 15 / 20)
    assert row["latency_seconds_p99"] == pytest.approx(0.01 + 0.09 * 19 / 20)
    assert row["packet_loss_rate_mean"] == pytest.approx(0.01)
    assert row["packet_loss_rate_max"] == pytest.approx(0.02)
    assert (row["receive_bytes"], row["share_of_tenant"], row["rank"]) == (None, None, None)
    assert (row["samples_seen"], row["samples_expected"]) == (9, 10)
    assert found["n2->n1", 0]["latency_seconds_p50"] == pytest.approx(0.1)  # beyond the highest finite bound
    assert found["n2->n1", 0]["packet_loss_rate_mean"] is None
    assert found["n1->n3", 0]["latency_seconds_p95"] is None
    assert result.numbers["links"] == 3
    assert result.facts.coverage is not None


def test_a_link_without_observations_has_no_latency(tmp_path):
    """Stops a silent link from looking like the fastest."""
    source = PlantedSource()
    latency(source, link(), [0, 0, 0, 0], 0.0)
    row = read(source, tmp_path)[0]["n1->n2", 0]
    assert row["latency_observations"] == 0
    assert [row[f"latency_seconds_{which}"] for which in ("mean", "p50", "p95", "p99")] == [None] * 4


def test_an_increase_over_a_gap_is_marked(tmp_path):
    """Stops the latencies of an hour from passing as those of five minutes."""
    source = PlantedSource()
    times = [0, 1, 2, 3, 43, 44]
    source.add(PLATFORM, f"{LATENCY}_count", link(), [(DAY.start_ms + n * MINUTE, 10.0 * n) for n in times])
    found, result = read(source, tmp_path)
    assert [(bucket, row["doubtful"]) for (_, bucket), row in found.items()] == [(0, False), (8, True)]
    assert result.numbers["doubtful_buckets"] == 1


def test_impossible_loss_is_left_out_not_clipped(tmp_path):
    """Stops a loss in percent from becoming a loss of everything, and from failing the whole day."""
    source = PlantedSource()
    source.add(PLATFORM, LOSS, link(), sampled([0.5, 2.0, -0.1, math.nan, math.inf]))
    source.add(PLATFORM, LOSS, link("n2", "n3"), sampled([40.0]))
    found, result = read(source, tmp_path)
    assert list(found) == [("n1->n2", 0)]
    assert found["n1->n2", 0]["packet_loss_rate_max"] == 0.5
    assert found["n1->n2", 0]["samples_seen"] == 1
    assert "3 samples of packet loss are not between 0 and 1" in " ".join(result.facts.notes)


def test_a_broken_histogram_is_told_of(tmp_path):
    """Stops repaired, missing and senseless bounds from going unseen."""
    source = PlantedSource()
    latency(source, link(), [10, 8, 20, 20], 1.0)
    source.add(PLATFORM, f"{LATENCY}_bucket", link(le="wide"), sampled([0.0, 5.0]))
    source.add(PLATFORM, f"{LATENCY}_bucket", link("n1", "n9", le="0.1"), sampled([0.0, 5.0]))
    source.add(PLATFORM, f"{LATENCY}_count", {"source_node": "n1"}, sampled([0.0, 5.0]))
    found, result = read(source, tmp_path)
    notes = " ".join(result.facts.notes)
    for words in (
        "le that is no number",
        "neither +Inf nor _count",
        "below those of a lower bound",
        "1 series do not name",
    ):
        assert words in notes
    assert found["n1->n9", 0]["latency_seconds_p50"] is None


def test_names_that_hold_the_separator_are_no_other_entity(tmp_path):
    """Stops node `a/b` with interface `c` from sharing its rows with node `a` and interface `b/c`."""
    source = PlantedSource()
    pairs = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a\x1f", "b"), ("a", "\x1fb")]
    for node, name in pairs:
        interface(source, node, name, "receive", [1.0, 1.0])
        source.add(PLATFORM, LOSS, link(node.replace("/", "->"), name.replace("/", "->")), sampled([0.1]))
    found, _ = read(source, tmp_path)
    kinds = [row["entity_kind"] for row in found.values()]
    assert (kinds.count("interface"), kinds.count("link")) == (len(pairs), len(pairs))
    named = {(row["node_id"], row["interface"]) for row in found.values() if row["entity_kind"] == "interface"}
    assert named == set(pairs)


def test_the_platform_never_asks_for_vms(tmp_path):
    """Stops tenants' VMs from becoming rows of the platform."""
    source = PlantedSource()
    source.add(PLATFORM, "novacron_vm_network_receive_bytes_total", {"vm_id": "x"}, sampled([1.0, 2.0]))
    interface(source, "n1", "eth0", "rx", [1.0])
    found, _ = read(source, tmp_path)
    assert list(found) == [("n1/eth0", 0)]
    assert {call[0] for call in source.calls} == {PLATFORM}
    assert not any("novacron_vm" in text or "libvirt" in text for call in source.calls for text in call[1])


def test_a_day_without_samples_says_so(tmp_path):
    """Stops an empty table that does not say why."""
    result = read(PlantedSource(), tmp_path)[1]
    assert result.data.num_rows == 0
    assert result.facts.notes == ("No node interface and no link sent a sample on this day.",)
    assert result.facts.as_of_ms == DAY.end_ms


def test_series_without_names_are_left_out_and_told_of(tmp_path):
    """Stops an interface or link without a name from joining all the others without one."""
    source = PlantedSource()
    source.add(PLATFORM, BANDWIDTH, {"node_id": "n1", "direction": "rx"}, sampled([1.0]))
    source.add(PLATFORM, LOSS, {"source_node": "n1", "target_node": ""}, sampled([0.1]))
    found, result = read(source, tmp_path)
    assert not found
    assert "2 series do not name their interface or link" in " ".join(result.facts.notes)


def test_a_running_day_is_expected_up_to_its_last_bucket(tmp_path):
    """Stops the hours to come from counting as missing."""
    source = PlantedSource(interval=60, now_ms=DAY.start_ms + 10 * MINUTE)
    interface(source, "n1", "eth0", "rx", list(np.ones(10)))
    _, result = read(source, tmp_path)
    assert result.facts.as_of_ms == DAY.start_ms + 2 * STEP
    assert (result.facts.samples_seen, result.facts.samples_expected) == (10, 10)
