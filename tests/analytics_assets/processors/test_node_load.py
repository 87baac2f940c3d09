"""The nodes' own load: which exporter is believed of which node, several servers, and what coverage counts."""

import math
from datetime import date

import numpy as np
import pytest

from analytics_assets.processors.node_series import averaged_over_cpus, use_of_idle
from analytics_assets.processors.system_load import COMPONENT
from resources.monitoring.source import SeriesBatch
from resources.partition import PLATFORM, Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute

DAY = Partition(PLATFORM, date(2026, 1, 2))
MINUTE, HOUR = 60_000, 3_600_000
CPU, MEMORY, LOAD = "novacron_system_cpu_usage_percent", "novacron_system_memory_usage_bytes", "node_load1"
IDLE = "node_cpu_seconds_total"


def at(begin: float, end: float, step_ms: int = MINUTE) -> range:
    return range(DAY.start_ms + round(begin * HOUR), DAY.start_ms + round(end * HOUR), step_ms)


def flat(value: float, begin: float = -3, end: float = 24, step_ms: int = 300_000) -> Samples:
    return [(ts, value) for ts in at(begin, end, step_ms)]


def restless(begin: float = -3, end: float = 24, step_ms: int = 300_000) -> Samples:
    return [(ts, 20 + 10 * math.sin(number)) for number, ts in enumerate(at(begin, end, step_ms))]


def idle(share: float, begin: float = -1, end: float = 24, offset_ms: int = 0, step_ms: int = MINUTE) -> Samples:
    """Idle seconds of a CPU that is idle for a share of the time."""
    return [(ts + offset_ms, 1e6 + share * (ts + offset_ms - DAY.start_ms) / 1000) for ts in at(begin, end, step_ms)]


@pytest.fixture
def computed(tmp_path):
    """Return what computes a day out of series (metric, labels, samples), and its rows by node."""

    def run(*series: tuple[str, dict[str, str], Samples], now_ms: int | None = None, **parameters):
        source = PlantedSource(now_ms=now_ms)
        for metric, labels, samples in series:
            source.add(PLATFORM, metric, labels, samples)
        result = compute(COMPONENT, source, DAY, tmp_path, **parameters)
        rows: dict[str, list[dict]] = {}
        for row in result.data.to_pylist():
            rows.setdefault(row["node_id"], []).append(row)
        return result.facts, rows

    return run


def own(node: str, samples: Samples, cpu: str = "0"):
    return CPU, {"node_id": node, "cpu": cpu}, samples


def exported(instance: str, share: float, cpu: str = "0", **labels: str):
    return IDLE, {"instance": instance, "mode": "idle", "cpu": cpu, **labels}, idle(share)


def cpu_of(rows: list[dict]) -> set[float]:
    return {round(row["cpu_percent_mean"], 3) for row in rows}


def test_every_node_has_its_own_constant(computed):
    """Stops NovaCron's placeholders from being kept as load because two nodes have different ones."""
    series = [own("n1", flat(25.5)), own("n2", flat(30.0)), exported("n1", 0.5), exported("n2:9100", 0.25)]
    facts, rows = computed(*series)
    assert {node: cpu_of(own_rows) for node, own_rows in rows.items()} == {"n1": {50.0}, "n2": {75.0}}
    assert facts.notes == (
        "NovaCron's CPU use is one constant on every node, all day and in the 3 hours before, and was left out there; "
        "node-exporter's was taken for 2 node(s): 'n1', 'n2'.",
    )


def test_a_node_that_is_measured_is_believed(computed):
    """Stops one node's placeholder from costing the others what NovaCron does measure of them."""
    series = [own("good", restless()), own("bad", flat(25.5)), exported("good:9100", 0.9), exported("bad:9100", 0.5)]
    facts, rows = computed(*series)
    assert cpu_of(rows["bad"]) == {50.0}
    assert len(cpu_of(rows["good"])) > 50
    assert set(rows) == {"good", "bad"}
    (note,) = facts.notes
    assert "one constant on 1 node(s)" in note
    assert note.endswith("for 1 node(s): 'bad'.")


def test_a_node_is_not_there_twice_under_another_name(computed):
    """Stops a fleet from doubling where one placeholder makes node-exporter be read, which calls nodes by address."""
    series = [own("good", restless()), own("bad", flat(25.5)), exported("10.0.0.1:9100", 0.9)]
    facts, rows = computed(*series)
    assert set(rows) == {"good"}
    assert facts.notes[0].endswith("and was left out there: 'bad'.")


def test_where_nobody_is_measured_other_names_are_better_than_none(computed):
    """Stops a platform of placeholders from being without load because node-exporter's names are addresses."""
    _, rows = computed(own("n1", flat(25.5)), exported("10.0.0.1:9100", 0.9))
    assert set(rows) == {"10.0.0.1:9100"}


def test_metrics_of_two_exporters_are_of_one_node(computed):
    """Stops a node from becoming `n1` and `n1:9100` where only some of NovaCron's metrics are placeholders."""
    load = ("novacron_system_load_average", {"node_id": "n1", "period": "1m"}, restless())
    facts, rows = computed(own("n1", flat(25.5)), load, exported("n1:9100", 0.5))
    assert set(rows) == {"n1"}
    assert all(row["load_average_1m_mean"] is not None and row["cpu_percent_mean"] == 50 for row in rows["n1"])
    assert facts.coverage == 1.0


@pytest.mark.parametrize("instance", ["n1:", "n1:http", "other:9100", "n1:9100:x"])
def test_only_a_port_is_left_off(computed, instance):
    """Stops names that merely look alike from being made one node."""
    _, rows = computed(own("n1", flat(25.5)), exported(instance, 0.5))
    assert set(rows) == {instance}


def test_what_novacron_lacks_of_a_node_it_knows_is_read_from_node_exporter(computed):
    """Stops a node without NovaCron's CPU metric from having no CPU use because another node has it."""
    load = [("novacron_system_load_average", {"node_id": node, "period": "1m"}, restless()) for node in ("n1", "n2")]
    _, rows = computed(own("n1", restless()), *load, exported("n2:9100", 0.5), exported("n1:9100", 0.9))
    assert cpu_of(rows["n2"]) == {50.0}
    assert set(rows) == {"n1", "n2"}


def test_the_judgement_is_the_same_from_the_first_bucket_on(computed):
    """Stops a node's placeholder from being its load until two in the morning, and from vanishing then."""
    for hours in (0.25, 1, 3, 24):
        facts, rows = computed(own("n1", flat(25.5, end=hours)), now_ms=DAY.start_ms + int(hours * HOUR))
        assert rows == {}
        assert "one constant on every node, all day and in the 3 hours before" in facts.notes[0]


def test_too_few_samples_are_kept_and_told_of(computed):
    """Stops a node that has just begun from being called a constant."""
    facts, rows = computed(own("new", flat(25.5, 22.5)), own("old", restless()))
    assert len(rows["new"]) == 18
    assert facts.notes == (
        "NovaCron's CPU use has one value only on 1 node(s), in fewer than 24 samples; that is too few to tell a "
        "constant, and it was kept: 'new'.",
    )


def test_a_node_that_has_just_begun_is_not_there_twice(computed):
    """Stops a node without a judgement from being counted again under the name that node-exporter gives it."""
    load = ("novacron_system_load_average", {"node_id": "n2", "period": "1m"}, restless())
    _, rows = computed(own("n1", flat(25.5, 22.5)), load, exported("10.0.0.1:9100", 0.9), exported("n2:9100", 0.5))
    assert {node: cpu_of(own_rows) for node, own_rows in rows.items()} == {"n1": {25.5}, "n2": {50.0}}


def test_one_change_is_no_constant(computed):
    """Stops a quiet node from being left out although its metric did move."""
    facts, rows = computed(own("n1", [*flat(25.5, end=12), *flat(26.0, begin=12)]))
    assert (len(rows["n1"]), facts.notes) == (288, ())


def test_a_lost_sample_of_one_cpu_is_no_load(computed):
    """Stops idle seconds of fewer CPUs from looking like a counter that fell, or CPUs that were busy."""
    series = [exported("n1", 0.5, str(cpu)) for cpu in range(4)]
    lost = [sample for sample in series[3][2] if sample[0] != DAY.start_ms + HOUR]
    facts, rows = computed(*series[:3], (*series[3][:2], lost))
    assert cpu_of(rows["n1"]) == {50.0}
    assert {row["cpu_percent_max"] for row in rows["n1"]} == {50.0}
    assert (facts.samples_seen, facts.samples_expected) == (1440, 1440)
    assert {row["cpu_cores_total"] for row in rows["n1"]} == {4.0}


def test_a_restart_of_one_cpus_counter_costs_that_cpu_one_sample(computed):
    """Stops a reset from showing a busy CPU, or from taking the other CPUs with it."""
    falls = [(ts, value - (1e6 if ts >= DAY.start_ms + HOUR else 0)) for ts, value in idle(0.5)]
    facts, rows = computed(exported("n1", 0.5), (*exported("n1", 0.5, "1")[:2], falls))
    assert cpu_of(rows["n1"]) == {50.0}
    assert facts.samples_seen == 1440


def test_use_over_a_long_gap_is_unknown():
    """Stops the mean of an outage of hours from being the use of the minute after it."""
    series = idle(0.5, 0, 1)
    gap = [(ts, value) for ts, value in series if not DAY.start_ms + 10 * MINUTE <= ts < DAY.start_ms + 40 * MINUTE]
    one_lost = [sample for sample in series if sample[0] != DAY.start_ms + 10 * MINUTE]
    for samples, count in ((series, 59), (gap, 28), (one_lost, 58)):
        ts_ms, values = (np.array(column) for column in zip(*samples, strict=True))
        offsets = np.array([0, len(ts_ms)])
        used = use_of_idle(SeriesBatch(IDLE, ({"node_id": "n1"},), offsets, ts_ms, values))
        assert len(used.ts_ms) == count
        assert used.values == pytest.approx(50)
    nothing = np.zeros(0)
    empty = SeriesBatch(IDLE, ({"node_id": "n1"},), np.zeros(2, np.int64), nothing.astype(np.int64), nothing)
    assert len(use_of_idle(empty).ts_ms) == 0


def test_two_servers_double_nothing_and_hide_nothing(computed):
    """Stops a pair of servers from counting each sample twice, and so from making up for load that is missing."""
    pair = [
        (IDLE, {"instance": "n1", "mode": "idle", "cpu": cpu, "replica": replica}, idle(share, offset_ms=offset))
        for replica, offset in (("A", 0), ("B", 20_000))
        for cpu, share in (("0", 0.5), ("1", 1.0))
    ]
    load = [(ts, value) for ts, value in restless(-1, 24, MINUTE) if not 1 <= (ts - DAY.start_ms) / HOUR < 20]
    facts, rows = computed(*pair, (LOAD, {"instance": "n1"}, load))
    assert (facts.samples_seen, facts.samples_expected) == (1440 + 300, 2880)
    assert cpu_of(rows["n1"]) == {25.0}
    assert {row["cpu_percent_max"] for row in rows["n1"]} == {25.0}
    assert {row["cpu_cores_total"] for row in rows["n1"]} == {2.0}
    assert {row["samples_expected"] for row in rows["n1"]} == {10}


def test_a_second_server_takes_over(computed):
    """Stops the load of a node from ending with the server that was read first."""
    first = (IDLE, {"instance": "n1", "mode": "idle", "cpu": "0", "replica": "A"}, idle(0.5, end=12))
    second = (IDLE, {"instance": "n1", "mode": "idle", "cpu": "0", "replica": "B"}, idle(0.5, offset_ms=20_000))
    facts, rows = computed(first, second)
    assert len(rows["n1"]) == 288
    assert facts.coverage == pytest.approx(1, abs=0.003)


def test_cpus_that_differ_in_other_labels_are_one_node():
    """Stops CPUs with a label of their own from being taken for what several servers saw of one CPU."""
    labels = ({"node_id": "n", "cpu": "0", "socket": "0"}, {"node_id": "n", "cpu": "1", "socket": "1"})
    batch = SeriesBatch(CPU, labels, np.array([0, 1, 2]), np.array([5, 5]), np.array([100.0, 0.0]))
    assert averaged_over_cpus(batch).values.tolist() == [50.0]


def test_a_node_of_another_interval_is_complete(computed):
    """Stops nodes of two scrape intervals from lacking samples, and a dense one from hiding another's holes."""
    holes = [(ts, value) for ts, value in restless() if not 6 <= (ts - DAY.start_ms) / HOUR < 18]
    dense = (LOAD, {"instance": "n1"}, restless(-1, 24, 15_000))
    facts, rows = computed(dense, (LOAD, {"instance": "n2"}, restless()))
    assert facts.coverage == 1.0
    assert {row["samples_expected"] for row in rows["n1"]} == {20}
    assert {row["samples_expected"] for row in rows["n2"]} == {1}
    facts, _ = computed(dense, (LOAD, {"instance": "n2"}, holes))
    assert (facts.samples_seen, facts.samples_expected) == (5760 + 144, 5760 + 288)


def test_a_day_that_is_over_counts_whole(computed):
    """Stops nodes that were not measured from six in the morning on from being complete."""
    series = (LOAD, {"instance": "n1"}, restless(-1, 6, MINUTE))
    facts, _ = computed(series)
    assert (facts.coverage, facts.as_of_ms) == (0.25, DAY.end_ms)
    facts, _ = computed(series, now_ms=DAY.start_ms + 6 * HOUR)
    assert (facts.coverage, facts.as_of_ms) == (1.0, DAY.start_ms + 6 * HOUR)


def test_memory_in_use_of_two_servers(computed):
    """Stops the total that one server saw from being taken with what the other saw free at another time."""
    series = []
    for replica, offset in (("A", 0), ("B", 20_000)):
        labels = {"instance": "n1", "replica": replica}
        ts_ms = [ts + offset for ts in at(-1, 24)]
        series.append(("node_memory_MemTotal_bytes", labels, [(ts, 8e9) for ts in ts_ms]))
        series.append(("node_memory_MemAvailable_bytes", labels, [(ts, 2e9 + ts % 7) for ts in ts_ms]))
    facts, rows = computed(*series)
    assert facts.samples_seen == facts.samples_expected == 1440
    assert {(round(row["memory_bytes_mean"] / 1e9), row["memory_total_bytes"]) for row in rows["n1"]} == {(6, 8e9)}
    only_free = [one for one in series if one[0].endswith("MemAvailable_bytes")]
    assert computed(*only_free)[1] == {}


def test_an_exporter_that_was_chosen_is_taken_alone(computed):
    """Stops an operator's choice from being overridden where the other exporter has more."""
    series = [own("n1", flat(25.5)), own("n2", restless()), exported("n1:9100", 0.5), exported("n3:9100", 0.5)]
    facts, rows = computed(*series, exporter="novacron")
    assert (set(rows), len(facts.notes)) == ({"n2"}, 1)
    facts, rows = computed(*series, exporter="node_exporter")
    assert (set(rows), facts.notes) == ({"n1:9100", "n3:9100"}, ())


def test_names_of_nodes_in_notes_are_five(computed):
    """Stops a note with a thousand names."""
    facts, _ = computed(*(own(f"n{number}", flat(25.5)) for number in range(7)))
    assert facts.notes[0].endswith(": 'n0', 'n1', 'n2', 'n3', 'n4' and 2 more.")
