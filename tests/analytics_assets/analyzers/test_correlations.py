"""Correlations of planted VMs and nodes, read from a lake as in production."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.analyzers.correlation_model.parameters import CorrelationsParameters
from analytics_assets.analyzers.correlations import COMPONENT, TABLE, compute
from analytics_assets.processors.system_load import SYSTEM_LOAD
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import LAST_DAY, NODES, SAMPLES, rows_by, workplace, write_samples

DAYS = 14
HOURS = DAYS * 24
PARAMETERS = CorrelationsParameters(window_days=DAYS, maximum_lag_steps=6)


def noise(seed, level=40.0, spread=2.0, hours=HOURS):
    return level + spread * np.random.default_rng(seed).standard_normal(hours)


def workday(size, hours=HOURS):
    hour = np.arange(hours)
    return size * np.maximum(np.sin(2 * np.pi * hour / 24), 0) * np.where(hour // 24 % 7 < 5, 1, 0.2)


def delayed(values, by):
    return np.concatenate([values[:1].repeat(by), values[: len(values) - by]])


def found(lake, tenant="acme", parameters=PARAMETERS, inputs=None):
    place = workplace(lake, COMPONENT, parameters, inputs or {"samples": SAMPLES}, tenant)
    with place:
        result = compute(place, parameters)
    return result, TABLE.conform(result.data).to_pylist()


def answers(rows, kind):
    return [row for row in rows if row["kind"] == kind and row["status"] == "ok"]


def plant(lake, **more):
    """Six VMs with the same working day; b follows a by two hours; c's disk writes follow its CPU by one."""
    vms = {
        vm: {"cpu_percent": noise(seed) + workday(30), "memory_bytes": noise(seed + 50, 4e9, 1e8)}
        for seed, vm in enumerate("abcdef")
    }
    shocks = noise(99, 0, 4)
    vms["a"]["cpu_percent"] = vms["a"]["cpu_percent"] + shocks
    vms["b"]["cpu_percent"] = vms["b"]["cpu_percent"] + delayed(shocks, 2)
    vms["c"]["disk_write_bytes_per_second"] = 1e5 * delayed(vms["c"]["cpu_percent"] - workday(30), 1)
    write_samples(lake, vms, DAYS, **more)


def test_only_the_planted_pairs_are_shown_with_who_leads_and_by_how_much(lake):
    """The working day that all have in common is not a correlation."""
    plant(lake)
    result, rows = found(lake)
    [pair] = answers(rows, "vm_vm")
    assert (pair["first_id"], pair["second_id"], pair["lag_seconds"]) == ("a", "b", 7200)
    assert pair["first_metric"] == pair["second_metric"] == "cpu_percent"
    assert 0.5 < pair["coefficient"] <= 1
    assert pair["pairs_tested"] == 15
    assert pair["steps_shared"] == HOURS - 2
    assert 30 < pair["steps_effective"] < HOURS
    assert pair["q_value"] < 0.05
    [own] = answers(rows, "vm_metrics")
    assert (own["first_id"], own["first_metric"]) == ("c", "cpu_percent")
    assert (own["second_metric"], own["lag_seconds"]) == ("disk_write_bytes_per_second", 3600)
    assert own["pairs_tested"] == 6 + 2
    assert result.numbers["vm_vm"] == result.numbers["vm_metrics"] == 1
    assert result.facts.days_read[0] == (LAST_DAY - timedelta(DAYS - 1)).isoformat()


def test_a_vm_of_which_nothing_is_shown_has_a_row_that_says_why(lake):
    """No pair, too few samples and a flat line are three different things to know."""
    plant(lake)
    vms = {
        "idle": {"cpu_percent": np.zeros(HOURS), "memory_bytes": np.full(HOURS, 1e9)},
        "new": {"cpu_percent": np.where(np.arange(HOURS) < HOURS - 24, np.nan, 5.0)},
        "quiet": {"cpu_percent": noise(1), "memory_bytes": noise(2)},
    }
    write_samples(lake, vms, DAYS)
    rows = rows_by(pa.Table.from_pylist(found(lake)[1]), "kind", "first_id")
    quiet = rows["vm_metrics", "quiet"]
    assert (quiet["status"], quiet["second_id"], quiet["first_metric"]) == ("none_found", "quiet", "")
    assert "2 metrics" in quiet["reason"]
    for vm in ("idle", "new"):
        assert rows["vm_metrics", vm]["status"] == "insufficient_data"
        assert rows["vm_metrics", vm]["reason"].startswith("0 of its metrics")
    assert rows["vm_metrics", "new"]["coverage"] == pytest.approx(1 / DAYS)
    assert rows["vm_metrics", "new"]["coefficient"] is None


def test_every_kind_of_pair_has_a_row_of_every_vm(lake):
    """Nothing told a VM that nobody moves with from one that was never compared."""
    plant(lake)
    parameters = CorrelationsParameters(window_days=DAYS, maximum_lag_steps=6, maximum_entities=3)
    rows = rows_by(pa.Table.from_pylist(found(lake)[1]), "kind", "first_id")
    assert rows["vm_vm", "c"]["status"] == "none_found"
    assert rows["vm_vm", "c"]["reason"].startswith("none of the 10 pairs")
    assert ("vm_vm", "b") not in rows  # it is the second of a's pair
    few = rows_by(pa.Table.from_pylist(found(lake, parameters=parameters)[1]), "kind", "first_id")
    left_out = [vm for vm in "abcdef" if few.get(("vm_vm", vm), {}).get("status") == "not_compared"]
    assert left_out
    assert "6 VMs can be compared, and the 3 that move most are" in few["vm_vm", left_out[0]]["reason"]


def test_a_vm_alone_is_compared_with_nobody(lake):
    write_samples(lake, {"only": {"cpu_percent": noise(1), "memory_bytes": noise(2)}}, DAYS)
    rows = rows_by(pa.Table.from_pylist(found(lake)[1]), "kind", "first_id")
    assert rows["vm_vm", "only"]["status"] == "not_compared"
    assert rows["vm_vm", "only"]["reason"].startswith("no other VM")
    assert rows["vm_metrics", "only"]["status"] == "none_found"


@pytest.mark.parametrize("days", [1, 2])
def test_an_unfinished_day_is_held_against_whole_days_before(lake, days):
    """One hour after midnight, a window of one day held one hour of samples: never enough."""
    write_samples(
        lake,
        {"a": {"cpu_percent": noise(1)}, "b": {"cpu_percent": noise(2)}},
        DAYS,
        as_of_ms=Partition("acme", LAST_DAY).start_ms + 3_600_000,
    )
    result, rows = found(lake, parameters=CorrelationsParameters(window_days=days, maximum_lag_steps=2))
    assert {row["coverage"] for row in rows} == {1.0}
    assert len(result.facts.days_read) == days + 1


def test_the_default_lag_is_cut_to_a_short_window_and_that_is_said(lake):
    """Stops a window of one day of hours from failing on the default lag of 24 steps."""
    plant(lake)
    result, rows = found(lake, parameters=CorrelationsParameters(window_days=1))
    assert {row["kind"] for row in rows} == {"vm_metrics", "vm_vm"}
    assert result.facts.notes == (
        "lags are up to 23 steps, not up to 24 (maximum_lag_steps): they must be below the 24 steps of 3600 s that "
        "window_days 1 has",
    )


def test_a_lag_that_no_day_allows_is_refused_with_both_parameters(lake):
    """Stops an error of a matrix product's shape from being all that a wrong setting says."""
    plant(lake)
    with pytest.raises(InvalidInput, match=r"correlations: maximum_lag_steps 168 .* window_days 7 .* at most 167"):
        found(lake, parameters=CorrelationsParameters(window_days=7, maximum_lag_steps=168))


def test_the_order_of_the_rows_and_of_the_vms_does_not_change_a_byte(lake, tmp_path):
    plant(lake)
    other = Lake(tmp_path / "other")
    plant(other, shuffle=3)
    assert TABLE.conform(found(lake)[0].data).equals(TABLE.conform(found(other)[0].data))


def test_rows_of_an_entity_are_bounded(lake):
    """Twenty VMs behind one load balancer are 190 pairs."""
    shocks = noise(1, 0, 10)
    write_samples(lake, {f"vm-{n:02}": {"cpu_percent": noise(n) + shocks} for n in range(20)}, DAYS)
    for most in (1, 3):
        parameters = CorrelationsParameters(window_days=DAYS, maximum_lag_steps=6, pairs_per_entity=most)
        pairs = answers(found(lake, parameters=parameters)[1], "vm_vm")
        named = [row[f"{which}_id"] for row in pairs for which in ("first", "second")]
        assert len(pairs) <= most * 20
        assert min(named.count(f"vm-{n:02}") for n in range(20)) >= 1


def test_of_too_many_vms_those_that_move_most_are_compared(lake):
    plant(lake)
    parameters = CorrelationsParameters(window_days=DAYS, maximum_lag_steps=6, maximum_entities=2)
    [pair] = answers(found(lake, parameters=parameters)[1], "vm_vm")
    assert (pair["first_id"], pair["pairs_tested"]) == ("a", 1)


def test_no_vm_is_no_row_and_a_note(lake):
    write_samples(lake, {}, DAYS)
    result, rows = found(lake)
    assert rows == []
    assert "no VM has samples" in result.facts.notes[0]


def test_disks_that_are_read_once_are_not_related(lake):
    """Two single events agree perfectly at the lag between them."""
    hour = np.arange(HOURS)
    vms = {
        vm: {"disk_read_bytes_per_second": np.where(hour == at, 1e8, 0.0), "cpu_percent": noise(at)}
        for vm, at in (("a", 200), ("b", 203), ("c", 205))
    }
    write_samples(lake, vms, DAYS)
    assert not [row for row in found(lake)[1] if row["status"] == "ok"]


def test_another_tenants_data_never_changes_a_byte(lake):
    plant(lake)
    before = found(lake)[0].data
    plant(lake, tenant="zeta")
    assert found(lake)[0].data.equals(before)


def nodes(lake, load):
    """Store 5-minute rows of nodes' CPU: `load` is node -> hourly values."""
    for number in range(DAYS):
        partition = Partition("platform", LAST_DAY - timedelta(DAYS - 1 - number))
        names = [node for node in load for _ in range(288)]
        values = np.concatenate([hourly[number * 24 : number * 24 + 24].repeat(12) for hourly in load.values()])
        given = {
            "node_id": pa.array(names),
            "ts": pa.array(np.tile(partition.start_ms + 300_000 * np.arange(288), len(load))).cast(
                pa.timestamp("ms", "UTC")
            ),
            "scope": pa.array(["node"] * len(names)),
            "cpu_percent_mean": pa.array(values.astype(np.float32)),
            "samples_seen": pa.array([5] * len(names), pa.int32()),
            "samples_expected": pa.array([5] * len(names), pa.int32()),
        }
        arrays = {
            column.name: given[column.name]
            if column.name in given
            else pa.nulls(len(names), pa.string() if pa.types.is_dictionary(column.type) else column.type)
            for column in SYSTEM_LOAD.columns
        }
        lake.write(SYSTEM_LOAD, partition, pa.table(arrays))


def test_the_platform_holds_every_tenants_vms_against_their_node(lake):
    """VMs of two tenants may have one id; node-2 has no VM here."""
    shocks = noise(1, 0, 10)
    write_samples(lake, {"vm": {"cpu_percent": noise(2) + shocks}, "calm": {"cpu_percent": noise(3)}}, DAYS, "acme")
    write_samples(lake, {"vm": {"cpu_percent": noise(4)}}, DAYS, "zeta")
    write_samples(lake, {}, DAYS, "platform")
    nodes(lake, {"node-1": noise(5, 50) + delayed(shocks, 1), "node-2": noise(6, 50) + shocks})
    result, rows = found(lake, "platform", inputs={"samples": SAMPLES, "nodes": NODES})
    [pair] = answers(rows, "vm_node")
    assert (pair["first_kind"], pair["first_tenant"], pair["first_id"]) == ("vm", "acme", "vm")
    assert (pair["second_kind"], pair["second_tenant"], pair["second_id"]) == ("node", "platform", "node-1")
    assert pair["lag_seconds"] == 3600
    assert pair["pairs_tested"] == 3
    assert [row["first_id"] for row in answers(rows, "node_node")] == ["node-2"]
    assert {row["first_id"] for row in rows if row["kind"] == "node_metrics"} == {"node-1", "node-2"}
    assert not [row for row in rows if row["kind"] == "vm_vm"]
    assert "acme, zeta" in result.facts.notes[0]
    silent = {(row["first_tenant"], row["first_id"]): row for row in rows if row["kind"] == "vm_node"}
    assert silent["acme", "calm"]["status"] == "none_found"
    assert silent["zeta", "vm"]["reason"].startswith("none of the 1 pairs")


def test_the_platform_says_which_tenants_are_missing(lake):
    """A tenant whose day comes late is not in the rows, and nothing said so."""
    for tenant, days, last in (("acme", DAYS, LAST_DAY), ("late", 3, LAST_DAY - timedelta(1)), ("new", 2, LAST_DAY)):
        write_samples(lake, {"vm": {"cpu_percent": noise(2)}}, days, tenant, last)
    write_samples(lake, {}, DAYS, "platform")
    nodes(lake, {"node-2": noise(6, 50)})
    result, rows = found(lake, "platform", inputs={"samples": SAMPLES, "nodes": NODES})
    of_vms, left_out, partly = result.facts.notes
    assert of_vms.endswith("2 tenant(s): acme, new")
    assert left_out.startswith("1 tenant(s) have no vm_resources_hourly of the day and are left out: late.")
    assert partly.endswith(f"new (2 of {DAYS} days)")
    assert LAST_DAY.isoformat() in result.facts.days_missing
    told = {row["first_tenant"]: row for row in rows if row["kind"] == "vm_node"}
    assert told["acme"]["status"] == "not_compared"  # its node is node-1
    assert told["new"]["status"] == "insufficient_data"
    assert [row["status"] for row in rows if row["kind"] == "node_node"] == ["not_compared"]


def test_the_platform_without_nodes_says_so(lake):
    write_samples(lake, {}, DAYS, "platform")
    result, rows = found(lake, "platform")
    assert rows == []
    assert "Name system_load" in result.facts.notes[0]
