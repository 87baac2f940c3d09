from datetime import timedelta

import numpy as np
import pytest

from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters
from analytics_assets.analyzers.forecasts import COMPONENT, TABLE, compute
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from resources.lake.partition_file import MissingPartition
from resources.partition import day_start_ms
from tests.analytics_assets.analyzers.fleet import (
    GIB,
    HOUR_MS,
    INVENTORY,
    LAST_DAY,
    NODES,
    SAMPLES,
    hours_of,
    workplace,
    write_inventory,
    write_nodes,
    write_samples,
)

END_MS = day_start_ms(LAST_DAY + timedelta(1))
DAYS = 35
PARAMETERS = ForecastsParameters(window_days=DAYS, hourly_hours=48, daily_days=20)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def made(lake, parameters=PARAMETERS, inputs=None, tenant="acme", day=LAST_DAY):
    """Return the result, checked against the table."""
    place = workplace(lake, COMPONENT, parameters, inputs or {"samples": SAMPLES}, tenant, day)
    result = compute(place, parameters)
    return result, TABLE.conform(result.data)


def chosen(table, **wanted):
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def busy_fleet(count=3, days=DAYS):
    return {
        f"vm-{number}": {
            "cpu_percent": hours_of(days, 20 + 10 * number, cycle=10, noise=1, seed=number),
            "memory_bytes": hours_of(days, (1 + number) * GIB, noise=1e6, seed=10 + number),
        }
        for number in range(count)
    }


def test_every_step_has_a_row_with_its_time_and_an_interval_around_it(lake):
    write_samples(lake, busy_fleet(), DAYS)
    result, table = made(lake)
    hours = chosen(table, entity_id="vm-1", metric="cpu_percent", freq="h")
    assert [row["lead"] for row in hours] == list(range(1, 49))
    assert [row["step_start"].timestamp() * 1000 for row in hours] == [END_MS + HOUR_MS * at for at in range(48)]
    truth = 30 + 10 * np.sin(np.arange(48) % 24 / 24 * 2 * np.pi)
    assert np.max(np.abs([row["mean"] for row in hours] - truth)) < 3
    for row in hours:
        assert row["lo95"] <= row["lo80"] <= row["mean"] <= row["hi80"] <= row["hi95"]
        assert (row["status"], row["unit"], row["samples_seen"]) == ("ok", "percent", DAYS * 24 * 12)
    days = chosen(table, entity_id="vm-1", metric="cpu_percent", freq="d")
    assert [row["step_start"].timestamp() * 1000 for row in days] == [END_MS + 24 * HOUR_MS * at for at in range(20)]
    assert [row["mean"] for row in days] == pytest.approx([30] * 20, abs=1)
    assert days[0]["history_days"] == DAYS
    assert result.facts.as_of_ms == END_MS
    assert result.numbers["series"] > 0


def test_the_tenants_total_is_the_sum_of_its_vms(lake):
    write_samples(lake, busy_fleet(), DAYS)
    table = made(lake)[1]
    total = chosen(table, entity_kind="tenant", metric="memory_bytes", freq="h")
    assert {row["entity_id"] for row in total} == {"acme"}
    assert [row["mean"] for row in total] == pytest.approx([6 * GIB] * 48, rel=0.01)
    assert not chosen(table, entity_kind="tenant", metric="cpu_percent")  # percentages do not add up


def test_series_without_an_answer_have_one_row_with_the_reason(lake):
    new = np.full(DAYS * 24, np.nan)
    new[-10:] = 5
    thin = hours_of(DAYS, 10)
    thin[np.arange(len(thin)) % 2 == 0] = np.nan
    write_samples(lake, {**busy_fleet(1), "vm-new": {"cpu_percent": new}, "vm-thin": {"cpu_percent": thin}}, DAYS)
    table = made(lake)[1]
    (row,) = chosen(table, entity_id="vm-new", metric="cpu_percent", freq="h")
    assert (row["lead"], row["step_start"], row["mean"], row["model"]) == (0, None, None, None)
    assert (row["status"], row["reason"]) == ("insufficient_data", "10 hours with a value; a forecast needs 24")
    (row,) = chosen(table, entity_id="vm-new", metric="memory_bytes", freq="d")
    assert (row["status"], row["reason"]) == ("no_data", "no value in the history")
    (row,) = chosen(table, entity_id="vm-thin", metric="cpu_percent", freq="h")
    assert row["status"] == "insufficient_data"
    assert row["reason"].startswith("coverage 0.50")


def test_sizes_of_the_inventory_bound_the_forecast_but_never_what_was_seen(lake):
    growing = np.linspace(1.5, 1.99, DAYS * 24) * GIB + np.random.default_rng(0).normal(0, 0.2 * GIB, DAYS * 24)
    fleet = {"vm-a": {"memory_bytes": np.minimum(growing, 2 * GIB)}, "vm-b": {"memory_bytes": growing}}
    write_samples(lake, fleet, DAYS)
    write_inventory(lake, [("vm-a", 40, 2, 2, 10, "running"), ("vm-b", 40, 2, 1, 10, "running")])
    free = made(lake)[1]
    bound = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]

    def highest(table, vm):
        return max(row["hi95"] for row in chosen(table, entity_id=vm, metric="memory_bytes"))

    assert highest(free, "vm-a") > 2 * GIB
    assert highest(bound, "vm-a") <= 2 * GIB
    assert 1.5 * GIB < highest(bound, "vm-b") <= growing.max() * 1.0001


def test_a_vm_that_was_made_smaller_is_bound_by_its_present_size(lake):
    """What it used at its former size says nothing of what it can use now."""
    use = hours_of(DAYS, 6 * GIB, noise=0.3 * GIB)
    use[-240:] = 1.9 * GIB
    write_samples(lake, {"vm-a": {"memory_bytes": use}}, DAYS)
    write_inventory(lake, [("vm-a", 40, 2, 8, 10, "running"), ("vm-a", 10, 2, 2, 10, "running")])
    table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]
    rows = chosen(table, entity_id="vm-a", metric="memory_bytes")
    assert max(row["hi95"] for row in rows) <= 2 * GIB
    total = chosen(table, entity_kind="tenant", metric="memory_bytes")
    assert max(row["hi95"] for row in total) <= 2 * GIB


def test_a_total_of_unknown_sizes_has_no_bound(lake):
    growing = np.linspace(1, 2, DAYS * 24) * GIB
    write_samples(lake, {"vm-a": {"memory_bytes": growing}, "vm-b": {"memory_bytes": growing}}, DAYS)
    write_inventory(lake, [("vm-a", 40, 2, 2, 10, "running"), ("vm-b", 40, 2, None, 10, "running")])
    table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]
    assert max(row["mean"] for row in chosen(table, entity_id="vm-a", metric="memory_bytes")) <= 2 * GIB
    assert max(row["mean"] for row in chosen(table, entity_kind="tenant", metric="memory_bytes")) > 4.2 * GIB


def test_silent_vms_have_a_row_and_no_forecast(lake):
    """A VM that was switched off goes on for ever otherwise, and one that never spoke is forgotten."""
    off = hours_of(DAYS, 10, noise=1)
    off[-60:] = np.nan
    write_samples(lake, {**busy_fleet(2), "vm-off": {"cpu_percent": off}}, DAYS)
    write_inventory(lake, [("vm-off", 3, 2, 4, 10, "stopped"), ("vm-never", 40, 2, 4, 10, "running")])
    table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]
    for freq in ("h", "d"):
        (row,) = chosen(table, entity_id="vm-off", metric="cpu_percent", freq=freq)
        assert (row["lead"], row["status"]) == (0, "insufficient_data")
        assert row["reason"] == "no value in the last 60 hours: whether it goes on is not known"
        assert row["history_days"] == DAYS - 2  # what was measured, though it is not forecast; the third day is half
        (row,) = chosen(table, entity_id="vm-never", metric="cpu_percent", freq=freq)
        assert (row["lead"], row["status"], row["coverage"]) == (0, "no_data", None)


def test_vms_that_ended_are_no_gap_of_the_total(lake):
    fleet = busy_fleet(10)
    for number in range(4):
        for values in fleet[f"vm-{number}"].values():
            values[-25 * 24 :] = np.nan
    write_samples(lake, fleet, DAYS)
    total = chosen(made(lake)[1], entity_kind="tenant", metric="memory_bytes", freq="h")
    assert len(total) == 48
    assert total[0]["coverage"] == 1


def test_vms_that_lack_the_last_hours_or_an_infinite_sample_leave_the_total_as_it_is(lake):
    """Stops a total from falling with the samples that are missing, or from being refused for one without a size."""
    fleet = {f"vm-{number}": {"memory_bytes": np.full(DAYS * 24, float(GIB))} for number in range(10)}
    for number in range(3):
        fleet[f"vm-{number}"]["memory_bytes"][-6:] = np.nan
    fleet["vm-9"]["memory_bytes"][100] = np.inf
    write_samples(lake, fleet, DAYS)
    write_inventory(lake, [(vm, 40, 2, 4, 10, "running") for vm in fleet])
    table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]
    rows = chosen(table, entity_kind="tenant", metric="memory_bytes")
    assert {(row["status"], row["mean"]) for row in rows} == {("ok", 10 * GIB)}
    samples = 10 * DAYS * 24 * 12
    assert rows[0]["samples_seen"] == samples - (3 * 6 + 1) * 12
    assert rows[0]["samples_expected"] == samples
    assert {row["status"] for row in chosen(table, entity_id="vm-9", metric="memory_bytes")} == {"degenerate"}


def test_an_infinite_sample_takes_no_bound_from_the_total(lake):
    """Stops a VM of which a sample has no size from freeing all VMs together of the sizes they have."""
    growing = np.linspace(1, 2, DAYS * 24) * GIB
    fleet = {vm: {"memory_bytes": growing.copy()} for vm in ("vm-a", "vm-b")}
    fleet["vm-a"]["memory_bytes"][100] = np.inf
    write_samples(lake, fleet, DAYS)
    write_inventory(lake, [(vm, 40, 2, 2, 10, "running") for vm in fleet])
    table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})[1]
    assert max(row["hi95"] for row in chosen(table, entity_kind="tenant", metric="memory_bytes")) <= 4 * GIB


def test_order_of_rows_and_other_tenants_change_no_byte(lake, tmp_path):
    write_samples(lake, busy_fleet(), DAYS)
    alone = made(lake)[1]
    write_samples(lake, {"vm-x": {"cpu_percent": hours_of(DAYS, 90)}}, DAYS, tenant="other")
    assert made(lake)[1].equals(alone)
    write_samples(lake, busy_fleet(), DAYS, shuffle=3)
    assert made(lake)[1].equals(alone)


def test_an_unfinished_day_is_not_held_against_whole_ones(lake):
    """Steps begin at the last whole hour that there is; a day is 24 hours from there."""
    fleet = busy_fleet(1)
    for values in fleet["vm-0"].values():
        values[-14:] = np.nan
    as_of = END_MS - 14 * HOUR_MS + 20 * 60_000
    write_samples(lake, fleet, DAYS, as_of_ms=as_of)
    table = made(lake)[1]
    first = chosen(table, entity_kind="vm", metric="cpu_percent", freq="h", lead=1)[0]
    assert first["step_start"].timestamp() * 1000 == END_MS - 14 * HOUR_MS
    assert first["mean"] == pytest.approx(20 + 10 * np.sin(10 / 24 * 2 * np.pi), abs=1.5)
    day = chosen(table, entity_kind="vm", metric="cpu_percent", freq="d", lead=1)[0]
    assert day["mean"] == pytest.approx(20, abs=1)


def test_nodes_and_the_cluster_of_the_platform(lake):
    days = 15
    write_nodes(lake, {"n-1": ([4.0] * days, 16, [8.0] * days, 64), "n-2": ([6.0] * days, 16, [9.0] * days, 64)}, days)
    parameters = ForecastsParameters(
        window_days=days, hourly_hours=2, daily_days=2, metrics=("cpu_cores", "memory_bytes")
    )
    table = made(lake, parameters, {"samples": NODES}, "platform")[1]
    assert {row["mean"] for row in chosen(table, entity_kind="node", entity_id="n-1", metric="cpu_cores")} == {4}
    assert {row["mean"] for row in chosen(table, entity_kind="cluster", metric="cpu_cores")} == {10}
    assert {row["entity_id"] for row in chosen(table, entity_kind="cluster")} == {"all"}


def test_nodes_and_the_cluster_are_bound_by_their_sizes(lake):
    days = 28
    rng = np.random.default_rng(0)
    nodes = {f"n-{at}": (rng.uniform(8, 15.9, days), 16, rng.uniform(30, 63.9, days), 64) for at in range(2)}
    write_nodes(lake, nodes, days)
    parameters = ForecastsParameters(window_days=days, metrics=("cpu_cores", "memory_bytes"))
    table = made(lake, parameters, {"samples": NODES}, "platform")[1]
    for kind, cores in (("node", 16), ("cluster", 32)):
        assert 0.8 * cores < max(row["hi95"] for row in chosen(table, entity_kind=kind, metric="cpu_cores")) <= cores
    assert max(row["hi95"] for row in chosen(table, entity_kind="node", metric="memory_bytes")) <= 64 * GIB


def test_a_tenant_has_the_sum_of_its_cores_over_the_nodes(lake):
    nodes = {"n-1": ([4.0] * 15, 16, [8.0] * 15, 64), "n-2": ([6.0] * 15, 16, [9.0] * 15, 64)}
    write_nodes(lake, nodes, 15, tenant="acme", scope="tenant")
    parameters = ForecastsParameters(window_days=15, hourly_hours=2, daily_days=2, metrics=("cpu_cores",))
    table = made(lake, parameters, {"samples": NODES})[1]
    assert {(row["entity_id"], row["mean"]) for row in chosen(table, entity_kind="tenant")} == {("acme", 10)}


def test_prophet_is_asked_for_totals_only_and_its_refusal_is_told(lake):
    write_samples(lake, busy_fleet(1), DAYS)
    parameters = ForecastsParameters(
        window_days=28, hourly_hours=1, daily_days=1, metrics=("memory_bytes",), prophet=True
    )
    result, table = made(lake, parameters)
    assert {row["model"] for row in chosen(table, entity_kind="vm")} & {"prophet"} == set()
    assert [note.split(":")[0] for note in result.facts.notes] == ["acme memory_bytes (h)", "acme memory_bytes (d)"]
    assert all("fewer than 21 days" in note for note in result.facts.notes)


def test_no_rows_say_so_and_missing_days_are_named(lake):
    write_samples(lake, {}, 3)
    result, table = made(lake)
    assert table.num_rows == 0
    assert result.facts.notes == (f"table vm_resources_hourly has no row in the {DAYS} days: no rows",)
    assert len(result.facts.days_missing) == DAYS - 3
    with pytest.raises(MissingPartition, match="Materialize vm_resources_hourly"):
        made(lake, day=LAST_DAY + timedelta(1))


def test_an_unknown_metric_is_refused_by_name(lake):
    write_samples(lake, busy_fleet(1), 3)
    with pytest.raises(InvalidInput, match="cpu_heat"):
        made(lake, ForecastsParameters(metrics=("cpu_heat",)))


def test_the_stored_file_is_small(lake, tmp_path):
    """A thousand VMs make over a million rows a day: what repeats must cost next to nothing."""
    write_samples(lake, busy_fleet(10), DAYS)
    parameters = ForecastsParameters(window_days=DAYS)
    place = workplace(lake, COMPONENT, parameters, {"samples": SAMPLES})
    result = compute(place, parameters)
    lake.write(TABLE, place.partition, result.data, result.facts)
    path = next((tmp_path / "lake").rglob("forecasts/*.parquet"))
    assert path.stat().st_size < 30 * result.data.num_rows


def test_an_inventory_without_a_size_bounds_nothing(lake):
    """Stops a tenant whose inventory knows no size, as one without an inventory has, from failing the day."""
    write_samples(lake, busy_fleet(1), DAYS)
    for ago in range(DAYS):
        write_inventory(lake, [("vm-0", 40, None, None, None, "running")], day=LAST_DAY - timedelta(ago))
    _, table = made(lake, inputs={"samples": SAMPLES, "inventory": INVENTORY})
    assert {row["status"] for row in chosen(table, entity_id="vm-0", metric="memory_bytes")} == {"ok"}
