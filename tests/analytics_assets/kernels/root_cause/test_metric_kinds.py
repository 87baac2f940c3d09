import pytest

from analytics_assets.kernels.root_cause.metric_kinds import bad_direction, metric_kind, metrics_by_kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cpu_percent_mean", "cpu"),
        ("cpuUsage", "cpu"),
        ("memory_used_bytes", "memory"),
        ("disk_read_bytes_per_second", "read"),
        ("disk_write_bytes_per_second", "write"),
        ("server_lat_p95_s", "latency"),
        ("latency Average", "latency"),
        ("availability.Average", "failures"),
        ("client_lat_p95_s", "other"),
        ("node_cpu_pct", "other"),
        ("requests|Sum", "other"),
        ("network_receive_bytes_per_second", "other"),
        ("platform", "other"),
        ("", "other"),
    ],
)
def test_kinds_are_read_from_whole_words(name, kind):
    """`lat` in `platform` is no latency, and a latency of calls to others is not the entity's own."""
    assert metric_kind(name) == kind


def test_metrics_of_a_kind_stand_together_and_others_are_left_out():
    assert metrics_by_kind(["cpu_milli", "net_rx", "cpu_pct", "mem_pct"]) == [[3], [0, 2]]


def test_names_that_say_nothing_all_count():
    """Nothing recognised must not mean nothing looked at."""
    assert metrics_by_kind(["m1", "m2"]) == [[0], [1]]


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("availability Average", -1),
        ("success_pct", -1),
        ("requestErrors", 1),
        ("failed_jobs", 1),
        ("latency p99", 0),
        ("cpu_milli", 0),
        ("client_success_pct", 0),
    ],
)
def test_failures_are_bad_in_one_direction_only(name, direction):
    assert bad_direction(name) == direction
