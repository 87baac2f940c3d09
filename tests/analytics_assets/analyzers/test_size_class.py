import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import Demand, Supply, resource_rows
from analytics_assets.analyzers.capacity_model.size_class import GIB, SizeEvidence, size_classes

HOURS = 28 * 24
PARAMETERS = CapacityParameters()


def evidence(cores, memory, disk, vcpus, memory_size, disk_size, receive=1e6, stopped=0.0):
    """Return the evidence of one VM with these hourly demands (numbers or one per hour) and sizes."""

    def hourly(values):
        return np.broadcast_to(np.asarray(values, np.float32), (1, HOURS)).astype(np.float32)

    def rows(resource, values, size, at_least):
        matrix = hourly(values)
        seen = np.array([int(np.count_nonzero(~np.isnan(matrix))) * 12])
        demand = Demand(matrix, matrix, matrix, seen, np.array([HOURS * 12]))
        missing = np.array([None], dtype=object)
        supply = Supply(np.array([float(size)]), np.array([np.nan]), missing)
        unit = "cores" if resource == "cpu" else "bytes"
        return resource_rows(resource, unit, demand, supply, PARAMETERS, 0.7, at_least=at_least)

    return SizeEvidence(
        cpu=rows("cpu", cores, vcpus, "rule"),
        memory=rows("memory", memory, memory_size, "peak"),
        disk=rows("disk", disk, disk_size, ""),
        cores=hourly(cores),
        receive=hourly(receive),
        transmit=hourly(receive),
        stopped=hourly(stopped),
    )


def class_of(found):
    classes, reasons = size_classes(found, PARAMETERS, 0.7)
    return classes[0], reasons[0]


def judged(cores=1.0, memory=2 * GIB, disk=10 * GIB, sizes=(4, 4 * GIB, 100 * GIB), **more):
    return class_of(evidence(cores, memory, disk, *sizes, **more))


def test_each_class_and_its_reason_in_figures():
    assert judged(cores=3.6) == (
        "undersized",
        "CPU p95 90 % is above 85 %",
    )
    assert judged(memory=3.8 * GIB)[1] == "memory peak 95 % is above 90 %; memory lasts 0 days, less than 30"
    assert judged(disk=95 * GIB)[1] == "disk lasts 0 days, less than 30"
    assert judged(cores=0.01, receive=10.0) == (
        "idle",
        "CPU below 0.03 vCPU in 100 % of 336 h, network below 2000 B/s received in 100 % and 1000 B/s sent in 100 %",
    )
    assert judged(stopped=1.0) == ("powered_off", "stopped in 100 % of the last 336 h")
    found, reason = judged(cores=0.5, memory=0.5 * GIB)
    assert found == "oversized"
    assert reason.startswith("with headroom and the growth of 150 days it needs 1 of 4 vCPUs and 0.6 of 4.0 GiB memory")
    assert judged(cores=2.0)[0] == "optimal"
    assert judged(cores=np.nan)[0] == "insufficient_data"


def test_a_rare_peak_is_seen():
    """A mean hides that one hour in a hundred is full."""
    cores = np.where(np.arange(HOURS) % 100 == 7, 4.0, 1.0)
    assert judged(cores=cores)[1] == "CPU p99 100 % reaches 95 %"


@pytest.mark.parametrize("resource", ["CPU", "memory", "disk"])
def test_what_is_full_in_days_is_undersized(resource):
    """Stops 'optimal, nothing is short' of a leak that fills the memory tomorrow."""
    line = np.linspace(0.3, 0.84, HOURS)  # below every limit of its peaks
    rising = {"CPU": {"cores": 4 * line}, "memory": {"memory": 4 * GIB * line}, "disk": {"disk": 100 * GIB * line}}
    found, reason = judged(**rising[resource])
    assert found == "undersized"
    assert reason in [f"{resource} lasts {days} days, less than 30" for days in (1, 2, 3, 4)]


def test_one_oversized_resource_alone_is_not_oversized():
    """A VM whose memory is needed cannot be halved."""
    assert judged(cores=0.5, memory=3 * GIB)[0] == "optimal"
    assert judged(cores=2, memory=0.5 * GIB)[0] == "optimal"


def test_the_reason_names_the_days_that_the_size_is_of():
    """Stops a growth of 150 days from being told of sizes that look ahead 120 days, where the horizon is."""
    parameters = CapacityParameters(horizon_days=120)
    classes, reasons = size_classes(evidence(0.5, GIB, 0.0, 4, 8 * GIB, 100 * GIB), parameters, 0.7)
    assert classes == ["oversized"]
    assert f"the growth of {parameters.lasting_days} days" in reasons[0]


def test_one_vcpu_cannot_be_halved():
    assert judged(cores=0.1, memory=0.5 * GIB, sizes=(1, 4 * GIB, 100 * GIB))[0] == "optimal"


def test_a_busy_network_or_one_not_measured_is_not_idle():
    assert judged(cores=0.01, receive=5000.0)[0] != "idle"
    assert judged(cores=0.01, receive=np.nan)[0] != "idle"


def test_a_new_vm_is_not_idle_yet():
    """Eight quiet days are not fourteen."""
    cores = np.full(HOURS, np.nan)
    cores[-8 * 24 :] = 0.01
    found = evidence(cores, np.where(np.isnan(cores), np.nan, GIB), 1.0, 2, 4 * GIB, 100 * GIB, receive=10.0)
    for rows in (found.cpu, found.memory):
        rows.columns["status"][:] = "ok"
    assert class_of(found)[0] not in ("idle", "insufficient_data")


def test_stopped_a_tenth_of_the_time_is_not_powered_off():
    stopped = np.where(np.arange(HOURS) % 10 == 0, 0.0, 1.0)
    assert judged(stopped=stopped)[0] != "powered_off"
    assert judged(stopped=np.nan)[0] != "powered_off"


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    cpu=st.floats(0.05, 8),
    growth=st.floats(-0.02, 0.05),
    spread=st.floats(0, 0.5),
    sizes=st.tuples(st.sampled_from([1, 2, 4, 16]), st.floats(1, 32), st.floats(5, 200)),
)
def test_a_recommended_size_is_optimal_on_the_same_data(seed, cpu, growth, spread, sizes):
    """Else each run would recommend another size than the last one."""
    rng = np.random.default_rng(seed)
    shape = (1 + growth * np.arange(HOURS) / 24) * np.maximum(1 + spread * rng.standard_normal(HOURS), 0.01)
    demands = (cpu * shape, 2 * GIB * shape, 50 * GIB * shape)
    first = evidence(*demands, sizes[0], sizes[1] * GIB, sizes[2] * GIB)
    better = [rows.columns["recommended_total"][0] for rows in (first.cpu, first.memory, first.disk)]
    resized = [rows.columns["size_needed"][0] for rows in (first.cpu, first.memory)]
    assert class_of(evidence(*demands, *resized, better[2]))[0] == "optimal"
    second = evidence(*demands, *better)
    assert class_of(second)[0] == "optimal"
    # It does not depend on the present size, and it lasts.
    again = [rows.columns["recommended_total"][0] for rows in (second.cpu, second.memory, second.disk)]
    assert again == pytest.approx(better)
    assert {rows.columns["level"][0] for rows in (second.cpu, second.memory, second.disk)} == {"ok"}
