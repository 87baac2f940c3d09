"""The joint scores on records of real machines: labelled faults found, quiet VMs left alone."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics_assets.kernels.anomaly.multivariate import explaining_metrics, multivariate_scores

STEP_MS = 300_000
PER_DAY = 288
VM_METRICS = ("cpu_usage_pct", "mem_usage_kb", "disk_read_kbps", "disk_write_kbps", "net_rx_kbps", "net_tx_kbps")


def runs(alarm, merge):
    """First and last step of the alarms; those at most `merge` steps apart are one."""
    on = np.flatnonzero(alarm)
    if not len(on):
        return []
    new = np.flatnonzero(np.diff(on) > merge + 1) + 1
    return [(part[0], part[-1]) for part in np.split(on, new)]


def test_labelled_faults_of_servers_are_found_and_explained(shared_data):
    """Four servers with 19 metrics each, of which the first two thirds are known to be normal."""
    table = pq.read_table(shared_data / "asd.parquet").to_pandas()
    labelled = pq.read_table(shared_data / "asd_explain.parquet").to_pandas()
    metrics = [name for name in table.columns if name[0] == "m" and name[1:].isdigit()]
    found, right, first_right, false_alarms, days = [], [], [], 0, 0.0
    for machine, rows in table.groupby("machine"):
        test = rows.is_test.to_numpy(bool)
        ts = np.arange(len(rows), dtype=np.int64) * STEP_MS
        scores = multivariate_scores(ts, rows[metrics].to_numpy(np.float64), ~test)
        faults = labelled[labelled.machine == machine]
        near = np.zeros(len(rows), bool)
        for begin, end, cause in zip(faults.start_step, faults.end_step, faults.metrics, strict=True):
            near[begin : end + 3] = True
            found.append(scores.alarm[begin : end + 3].any())
            named = [metric for metric, _ in explaining_metrics(scores.explanations[begin : end + 1], len(cause))]
            right.append(len(set(named) & set(cause)) / len(cause))
            first_right.append(named[0] in cause)
        false_alarms += sum(not near[a : b + 1].any() for a, b in runs(scores.alarm & test, 6))
        days += test.sum() / PER_DAY
    assert np.mean(found) >= 0.65
    assert false_alarms / days <= 0.35
    assert np.mean(right) >= 0.8
    assert np.mean(first_right) >= 0.85


def test_virtual_machines_do_not_alarm_every_day(shared_data):
    """Twelve VMs over three months, nothing known to be normal: a person must be able to read what alarms."""
    path = shared_data / "bitbrains_5min.parquet"
    names = sorted(pc.unique(pq.read_table(path, columns=["vm_id"])["vm_id"]).to_pylist())[::8]
    table = pq.read_table(path, columns=["ts", "vm_id", *VM_METRICS], filters=[("vm_id", "in", names)]).to_pandas()
    alarms, days = 0, 0.0
    for _, rows in table.sort_values("ts").groupby("vm_id"):
        ts = rows.ts.to_numpy("datetime64[ms]").astype(np.int64)
        alarm = multivariate_scores(ts, rows[list(VM_METRICS)].to_numpy(np.float64)).alarm
        alarms += len(runs(alarm, 6))
        days += len(rows) / PER_DAY
    assert len(names) >= 10
    assert alarms / days <= 0.3
