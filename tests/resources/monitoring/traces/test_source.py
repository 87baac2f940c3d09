"""What the imported traces offer as a source."""

from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.lake.partition_file import CorruptPartition
from resources.monitoring.metrics import METRICS, VM_METRICS
from resources.monitoring.source import SeriesBatch
from resources.monitoring.traces.source import TraceFiles
from tests.resources.monitoring.traces.files import CPU, MEMORY, START_S, run

END_MS = 2**42


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven VMs over two days; VM 3 moves, VM 5 has no memory, nobody has a disk."""
    lines = ["ts,vm_id,cpu_percent,memory_bytes,node_id,vm_name,disk_bytes"]
    for hour in range(48):
        for vm in range(7):
            memory = "" if vm == 5 else str(hour * 10 + vm)
            node = "" if vm == 6 else "n1" if vm != 3 or hour < 30 else "n2"
            lines.append(f"{START_S + 3600 * hour},v{vm},{hour + vm / 8},{memory},{node},{'shop' if vm == 2 else ''},")
    (tmp_path / "x.csv").write_text("\n".join(lines))
    run(tmp_path / "store", tmp_path / "x.csv")
    return tmp_path / "store"


def flat(batches: list[SeriesBatch]) -> list[tuple[str, tuple[tuple[str, str], ...], int, float]]:
    return [
        (batch.metric, tuple(sorted(labels.items())), int(batch.ts_ms[place]), float(batch.values[place]))
        for batch in batches
        for number, labels in enumerate(batch.labels)
        for place in range(batch.offsets[number], batch.offsets[number + 1])
    ]


def test_series_carry_their_labels(root: Path) -> None:
    [batch] = TraceFiles(root).samples("acme", [CPU], 0, END_MS)
    found = [{name: value for name, value in labels.items() if name != "tenant_id"} for labels in batch.labels]
    assert found == [
        {"vm_id": "v0", "node_id": "n1"}, {"vm_id": "v1", "node_id": "n1"},
        {"vm_id": "v2", "node_id": "n1", "vm_name": "shop"},
        {"vm_id": "v3", "node_id": "n1"}, {"vm_id": "v3", "node_id": "n2"},
        {"vm_id": "v4", "node_id": "n1"}, {"vm_id": "v5", "node_id": "n1"}, {"vm_id": "v6"},
    ]  # fmt: skip
    assert {labels["tenant_id"] for labels in batch.labels} == {"acme"}
    assert batch.offsets[3:6].tolist() == [144, 174, 192]


def test_edges_of_the_window(root: Path) -> None:
    """Stops the sample at the end of a window from being in both windows, or in none."""
    middle = (START_S + 30 * 3600) * 1000
    source = TraceFiles(root)
    parts = [flat(list(source.samples("acme", [CPU], *window))) for window in ((0, middle), (middle, END_MS))]
    whole = flat(list(source.samples("acme", [CPU], 0, END_MS)))
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert max(sample[2] for sample in parts[0]) < middle == min(sample[2] for sample in parts[1])
    assert list(source.samples("acme", [CPU], middle, middle)) == []


def test_missing_values_make_no_series(root: Path) -> None:
    """Stops an empty column from becoming zeros, and a counter or a node's metric from being made up."""
    source = TraceFiles(root)
    [memory] = source.samples("acme", [MEMORY], 0, END_MS)
    assert "v5" not in {labels["vm_id"] for labels in memory.labels}
    assert {batch.metric for batch in source.samples("acme", list(METRICS), 0, END_MS)} == {CPU, MEMORY}
    assert list(source.samples("acme", ["no_such_metric", VM_METRICS[2].name], 0, END_MS)) == []


@pytest.mark.parametrize("batch_rows", [1, 60, 100, 300])
def test_batches_are_bounded_and_whole(root: Path, batch_rows: int) -> None:
    """Stops a large tenant from being in memory at once, and a VM's series from being torn over batches."""
    whole = flat(list(TraceFiles(root).samples("acme", [CPU, MEMORY], 0, END_MS)))
    batches = list(TraceFiles(root, batch_rows).samples("acme", [CPU, MEMORY], 0, END_MS))
    assert sorted(flat(batches)) == sorted(whole)
    cpu = [{labels["vm_id"] for labels in batch.labels} for batch in batches if batch.metric == CPU]
    assert sum(map(len, cpu)) == 7
    assert len(cpu) > 1
    assert max(len(batch.ts_ms) for batch in batches) <= max(48, batch_rows)


def test_extent_interval_and_tenants(root: Path) -> None:
    source = TraceFiles(root)
    extent = source.extent("acme")
    assert extent is not None
    assert [str(day) for day in extent] == ["2013-07-01", "2013-07-02"]
    assert source.sample_interval_seconds("acme") == 3600
    assert (source.tenants(), source.has("acme"), source.has("other"), source.extent("other")) == (
        ["acme"], True, False, None,
    )  # fmt: skip
    assert source.inventory("other", 0, END_MS).num_rows == 0
    assert list(source.samples("other", [CPU], 0, END_MS)) == []
    with pytest.raises(InvalidInput, match="no traces were imported for other"):
        source.sample_interval_seconds("other")


@pytest.mark.parametrize("batch_rows", [1, 2_000_000])
def test_a_damaged_day_is_named(root: Path, batch_rows: int) -> None:
    path = root / "tenant=acme" / "trace_samples" / "day=2013-07-02.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CorruptPartition, match="day=2013-07-02"):
        list(TraceFiles(root, batch_rows).samples("acme", [CPU], 0, END_MS))
