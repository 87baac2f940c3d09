from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analytics_assets.charts.read_svg import read_svg
from analytics_assets.charts.table import result_sha256
from analytics_assets.components import Instance
from analytics_assets.visualizers.heatmap_charts import COMPONENT, HeatmapParameters, read_grid
from resources.errors import InvalidInput
from resources.partition import DAY_MS, day_start_ms
from tests.analytics_assets.visualizers import scenario as s

CPU = ("cpu_percent",)


def charts(
    root: Path, samples: Instance = s.HOURLY, capacity: tuple[Instance, ...] = (), **parameters: Any
) -> dict[str, dict[str, Any]]:
    chosen = HeatmapParameters(**{"metrics": CPU, "days": 1, **parameters})
    inputs = {"samples": (samples,), "capacity": capacity} if capacity else {"samples": (samples,)}
    with s.workplace(root, COMPONENT, inputs, chosen) as workplace:
        result = COMPONENT.compute(workplace, chosen)
    return {row["chart_id"]: row for row in COMPONENT.table.conform(result.data).to_pylist()}


def names(svg: str) -> list[str]:
    return [shape.text for shape in read_svg(svg).shapes if shape.tag == "text" and shape.text.startswith("vm-")]


def test_rows_are_the_highest_hours_first(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [5.0] * 24, "vm-b": [1.0] * 23 + [99.0], "vm-c": [50.0] * 24}))
    chart = charts(tmp_path, rows=2)["cpu_percent-heatmap"]
    assert names(chart["svg"]) == ["vm-b", "vm-c"]
    assert chart["title"] == "CPU use by VM and hour, 2026-03-14 (UTC)"
    assert "2 of 3 VMs, ordered by the highest hour" in chart["alt"]
    assert "The highest hour is 99.0 %, vm-b at 2026-03-14 23:00 UTC." in chart["alt"]


def test_capacity_orders_the_rows_and_those_without_come_last(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [5.0], "vm-b": [1.0], "vm-c": [50.0], "vm-d": [60.0]}))
    rows = [s.capacity("vm-a", 90), s.capacity("vm-b", 95), s.capacity("vm-c", 99, "memory"), s.capacity("vm-d", None)]
    s.store(tmp_path, s.SIZES, pa.Table.from_pylist(rows))
    chart = charts(tmp_path, capacity=(s.SIZES,))["cpu_percent-heatmap"]
    assert names(chart["svg"]) == ["vm-b", "vm-a", "vm-d", "vm-c"]
    assert "ordered by utilization" in chart["alt"]


def test_missing_hours_are_missing_not_zero(tmp_path: Path) -> None:
    values: list[float | None] = [1.0] * 24
    values[3], values[4] = None, float("nan")
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": values, "vm-b": [0.0] * 24}))
    chart = charts(tmp_path)["cpu_percent-heatmap"]
    assert "2 of 48 hours have no samples." in chart["alt"]
    with s.workplace(tmp_path, COMPONENT, {"samples": (s.HOURLY,)}) as workplace:
        data = workplace.query(chart["sql"])
    grid = read_grid(data, day_start_ms(s.DAY), 24)
    assert result_sha256(data) == chart["result_sha256"]
    assert [index for index, value in enumerate(grid.values[0]) if value != value] == [3, 4]
    assert grid.values[1].tolist() == [0.0] * 24


def test_a_whole_missing_day_keeps_its_columns(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [1.0] * 24}))
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [2.0] * 24}, first_ms=day_start_ms(s.DAY) - 2 * DAY_MS))
    assert "24 of 72 hours have no samples." in charts(tmp_path, days=3)["cpu_percent-heatmap"]["alt"]


def test_five_minute_samples_of_nodes_become_hours(tmp_path: Path) -> None:
    s.store(tmp_path, s.LOAD, s.samples({"n": [10.0, 30.0] * 144}, entity="node_id", step_ms=300_000))
    chart = charts(tmp_path, s.LOAD)["cpu_percent-heatmap"]
    assert chart["rows"] == 24
    assert "The highest hour is 20.0 %, n at" in chart["alt"]


def test_no_value_is_a_row_that_says_why(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [1.0] * 24}))
    row = charts(tmp_path, metrics=())["memory_bytes-heatmap"]
    assert (row["status"], row["svg"]) == ("no_data", None)
    assert row["reason"] == "hours_of_vms holds no value of memory_bytes from 2026-03-14 to 2026-03-14"


def test_hostile_ids_stay_text(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({s.HOSTILE: [1.0] * 24, "\x1b[31m": [2.0] * 24}))
    s.store(tmp_path, s.SIZES, pa.Table.from_pylist([s.capacity(s.HOSTILE, 90)]))
    row = charts(tmp_path, capacity=(s.SIZES,))["cpu_percent-heatmap"]
    assert "<script" not in row["svg"]
    assert read_svg(row["svg"]).description == row["alt"].replace("\x1b", "\N{REPLACEMENT CHARACTER}")


def test_an_unknown_metric_is_refused_by_name(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm-a": [1.0]}))
    with pytest.raises(InvalidInput, match="'gpu' is not measured in table hours_of_vms"):
        charts(tmp_path, metrics=("gpu",))
