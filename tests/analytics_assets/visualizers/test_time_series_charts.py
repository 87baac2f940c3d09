import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from analytics_assets.charts.read_svg import read_svg
from analytics_assets.charts.table import result_sha256
from analytics_assets.charts.thumbnail import MOST_BYTES
from analytics_assets.components import Instance, Result
from analytics_assets.visualizers.time_series_charts import COMPONENT, TimeSeriesParameters
from resources.errors import InvalidInput
from resources.partition import DAY_MS, day_start_ms
from tests.analytics_assets.visualizers import scenario as s

CPU = ("cpu_percent",)


def charts(
    root: Path,
    samples: Instance = s.HOURLY,
    trends: tuple[Instance, ...] = (),
    tenant: str = "acme",
    threads: int = 2,
    **parameters: Any,
) -> tuple[dict[str, dict[str, Any]], Result]:
    chosen = TimeSeriesParameters(**{"metrics": CPU, "days": 1, **parameters})
    inputs = {"samples": (samples,), "trends": trends} if trends else {"samples": (samples,)}
    with s.workplace(root, COMPONENT, inputs, chosen, tenant, threads) as workplace:
        result = COMPONENT.compute(workplace, chosen)
    stored = COMPONENT.table.conform(result.data)
    return {row["chart_id"]: row for row in stored.to_pylist()}, result


def wave(level: float, hours: int = 24) -> list[float]:
    return [level + index % 24 for index in range(hours)]


def lines(svg: str, width: int) -> list[str]:
    return re.findall(
        rf'<path d="([^"]*)" fill="none" stroke-linejoin="round" stroke="#\w+" stroke-width="{width}"', svg
    )


def test_the_highest_are_drawn_in_order_of_demand_and_the_title_counts_them(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({f"vm-{n}": wave(10.0 * n) for n in range(9)}))
    rows, result = charts(tmp_path, top=3)
    chart = rows["cpu_percent-highest"]
    assert chart["title"] == "CPU use of the 3 busiest VMs, 2026-03-14 (UTC)"
    assert [text for text in _texts(chart["svg"]) if text.startswith("vm-")] == ["vm-8", "vm-7", "vm-6"]
    assert "3 of 9 VMs" in chart["alt"]
    assert result.numbers == {"charts": 2, "charts_without_data": 0}


def test_a_missing_hour_breaks_the_line(tmp_path: Path) -> None:
    """A line drawn across missing hours would claim measurements that nobody made."""
    values: list[float | None] = [*wave(10)]
    values[5] = None  # no row
    values[12] = float("nan")  # a row without a value
    s.store(tmp_path, s.HOURLY, s.samples({"vm": values}))
    rows, _ = charts(tmp_path)
    assert len(lines(rows["cpu_percent-highest"]["svg"], 12)) == 3
    assert "Gaps: no samples" in rows["cpu_percent-highest"]["svg"]


def test_the_total_has_a_gap_where_too_few_vms_reported(tmp_path: Path) -> None:
    """A total over half the VMs would look like a drop in use."""
    half: list[float | None] = [*wave(10)]
    half[6:9] = [None] * 3
    s.store(tmp_path, s.HOURLY, s.samples({"a": wave(1), "b": half, "c": half}, "memory_bytes"))
    rows, _ = charts(tmp_path, metrics=("memory_bytes",))
    chart = rows["memory_bytes-overview"]
    assert chart["title"] == "Memory use, total of all VMs, 2026-03-14 (UTC)"
    assert len(lines(chart["svg"], 12)) == 2
    assert "3 of 24 points are missing" in chart["alt"]


def test_a_total_without_every_vm_is_marked(tmp_path: Path) -> None:
    """A VM that sends nothing for an hour must not pass for a fall of use."""
    some: list[float | None] = [*wave(10)]
    some[6:9] = [None] * 3
    s.store(tmp_path, s.HOURLY, s.samples({"a": some, **{name: wave(1) for name in "bcd"}}, "memory_bytes"))
    rows, _ = charts(tmp_path, metrics=("memory_bytes",))
    assert "3 points lack some VM" in rows["memory_bytes-overview"]["alt"]
    assert "Some VM missing" in _texts(rows["memory_bytes-overview"]["svg"])
    assert len(lines(rows["memory_bytes-overview"]["svg"], 12)) == 1


def test_totals_add_and_percentages_are_averaged(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"a": [10.0], "b": [30.0]}))
    rows, _ = charts(tmp_path)
    assert "The highest value is 20.0 %" in rows["cpu_percent-overview"]["alt"]
    s.store(tmp_path, s.HOURLY, s.samples({"a": [10.0], "b": [30.0]}, "memory_bytes"))
    rows, _ = charts(tmp_path, metrics=("memory_bytes",))
    assert "The highest value is 40.0 B" in rows["memory_bytes-overview"]["alt"]


def test_no_value_is_a_row_that_says_why(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(1)}))
    rows, result = charts(tmp_path, metrics=("disk_bytes",), trends=(s.TRENDS,))
    assert {row["status"] for row in rows.values()} == {"no_data"}
    assert rows["disk_bytes-highest"]["svg"] is None
    assert rows["disk_bytes-highest"]["reason"] == (
        "hours_of_vms holds no value of disk_bytes from 2026-03-14 to 2026-03-14"
    )
    assert rows["disk_bytes-steepest"]["reason"] == (
        "no VM with samples in these days has a significant trend of disk_bytes on 2026-03-14"
    )
    assert result.preview_svg is None
    assert result.numbers == {"charts": 0, "charts_without_data": 3}


def test_trends_are_drawn_and_the_steepest_significant_come_first(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({f"vm-{n}": wave(40) for n in range(4)}))
    s.store(tmp_path, s.TRENDS, pa.Table.from_pylist([s.trend("vm-0", 9, "stable"), s.trend("vm-1", 1, "rising")]))
    s.store(
        tmp_path, s.MORE_TRENDS,
        pa.Table.from_pylist([s.trend("vm-1", 7, "rising"), s.trend("vm-2", -2, "falling"),
                              s.trend("vm-3", 8, "rising", "memory_bytes"), s.trend("vm-3", 8, "rising", kind="node")]),
    )  # fmt: skip
    rows, _ = charts(tmp_path, trends=(s.TRENDS, s.MORE_TRENDS))
    texts = _texts(rows["cpu_percent-steepest"]["svg"])
    assert [text for text in texts if text.startswith("vm-")] == ["vm-2", "vm-1"]
    # The first of two tables with the same entity counts.
    assert "-2.00 points a day" in texts
    assert "+1.00 points a day" in texts
    assert "Trend over 28 days, 95 % interval of its slope" in texts
    highest = _texts(rows["cpu_percent-highest"]["svg"])
    assert highest.count("no significant trend") == 1
    assert len(lines(rows["cpu_percent-highest"]["svg"], 15)) == 3


def test_hostile_ids_stay_text_and_break_no_query(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({s.HOSTILE: wave(50), "\x00\u202e\ud7ff'": wave(20)}))
    s.store(tmp_path, s.TRENDS, pa.Table.from_pylist([s.trend(s.HOSTILE, 2, "rising")]))
    rows, result = charts(tmp_path, trends=(s.TRENDS,))
    for row in rows.values():
        assert row["status"] == "ok"
        assert "<script" not in row["svg"]
        assert "\x00" not in row["svg"]
        assert read_svg(row["svg"]).title == row["title"]
        assert s.HOSTILE not in row["sql"]
    assert s.HOSTILE in rows["cpu_percent-steepest"]["alt"]
    assert result.preview_svg is not None
    assert "<script" not in result.preview_svg


def test_the_stored_query_gives_the_stored_result_again(tmp_path: Path) -> None:
    """A figure whose SQL gives something else than what was drawn cannot be checked by anyone."""
    s.store(tmp_path, s.HOURLY, s.samples({f"vm-{n}": wave(n) for n in range(4)}))
    s.store(tmp_path, s.TRENDS, pa.Table.from_pylist([s.trend("vm-1", 7, "rising")]))
    rows, _ = charts(tmp_path, trends=(s.TRENDS,))
    inputs = {"samples": (s.HOURLY,), "trends": (s.TRENDS,)}
    with s.workplace(tmp_path, COMPONENT, inputs) as workplace:
        for row in rows.values():
            again = workplace.query(row["sql"])
            assert result_sha256(again) == row["result_sha256"]
            assert again.num_rows == row["rows"] > 0


def test_days_outside_the_window_and_other_tenants_change_nothing(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(10)}))
    _, before = charts(tmp_path)
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(90)}, first_ms=day_start_ms(s.DAY) - DAY_MS))
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(90)}, first_ms=day_start_ms(s.DAY) + DAY_MS))
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(90)}), tenant="other")
    _, after = charts(tmp_path)
    assert after.data.equals(before.data)


def test_the_same_inputs_give_the_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    """Sums of floats differ in their last digits with the order of adding; a chart must not."""
    rng = np.random.default_rng(7)
    values = {f"vm-{n:02d}": (rng.random(288 * 3) * 1e12).tolist() for n in range(30)}
    first_ms = day_start_ms(s.DAY) - 2 * DAY_MS
    s.store(tmp_path, s.GRID, s.samples(values, "memory_bytes", first_ms=first_ms, step_ms=300_000))
    results = [charts(tmp_path, s.GRID, metrics=("memory_bytes",), days=3, threads=n)[1] for n in (1, 2, 4)]
    digests = {hashlib.sha256(repr(result.data.to_pylist()).encode()).hexdigest() for result in results}
    assert len(digests) == 1


def test_long_windows_of_five_minute_samples_are_hourly(tmp_path: Path) -> None:
    s.store(tmp_path, s.GRID, s.samples({"vm": [float(n % 12) for n in range(288)]}, step_ms=300_000))
    raw, _ = charts(tmp_path, s.GRID, days=2)
    hourly, _ = charts(tmp_path, s.GRID, days=3)
    assert raw["cpu_percent-highest"]["rows"] == 288
    assert hourly["cpu_percent-highest"]["rows"] == 24
    assert "5-minute means" in raw["cpu_percent-highest"]["alt"]
    assert "mean 5.50 %" in hourly["cpu_percent-highest"]["alt"]


def test_nodes_are_drawn_side_by_side_with_their_capacity(tmp_path: Path) -> None:
    data = s.samples({"n1": [4e9] * 24, "n2": [8e9] * 24}, "memory_bytes", "node_id")
    data = data.append_column("memory_total_bytes", pa.array([16.0 * 2**30] * 48))
    s.store(tmp_path, s.LOAD, data, "platform")
    rows, _ = charts(tmp_path, s.LOAD, tenant="platform", metrics=("memory_bytes",))
    assert rows["memory_bytes-overview"]["title"] == "Memory use by node, 2026-03-14 (UTC)"
    texts = _texts(rows["memory_bytes-highest"]["svg"])
    assert "of 16.0 GiB" in texts
    assert "Capacity" in texts
    assert rows["memory_bytes-highest"]["title"].startswith("Memory use of all 2 nodes")


def test_default_metrics_are_those_the_table_has(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(1)}))
    rows, _ = charts(tmp_path, metrics=())
    assert sorted({chart_id.rpartition("-")[0] for chart_id in rows}) == [
        "cpu_percent", "memory_bytes", "network_receive_bytes_per_second",
    ]  # fmt: skip


def test_an_unknown_metric_is_refused_by_name(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(1)}))
    with pytest.raises(InvalidInput, match=r"'x\" OR 1=1' is not measured in table hours_of_vms\. It has cpu_percent"):
        charts(tmp_path, metrics=('x" OR 1=1',))


def test_missing_days_are_recorded(tmp_path: Path) -> None:
    s.store(tmp_path, s.HOURLY, s.samples({"vm": wave(1)}))
    _, result = charts(tmp_path, days=3)
    assert result.facts.days_read == ("2026-03-14",)
    assert result.facts.days_missing == ("2026-03-12", "2026-03-13")
    assert result.facts.as_of_ms == day_start_ms(s.DAY) + DAY_MS


def test_the_preview_of_a_large_chart_is_small(tmp_path: Path) -> None:
    """Dagster keeps a preview of every partition in its database."""
    rng = np.random.default_rng(1)
    hours = 14 * 24
    values = {f"vm-{n}": (rng.random(hours) * 100).tolist() for n in range(24)}
    s.store(tmp_path, s.HOURLY, s.samples(values, first_ms=day_start_ms(s.DAY) - 13 * DAY_MS))
    rows, result = charts(tmp_path, days=14, top=24)
    assert len(rows["cpu_percent-highest"]["svg"]) > 5 * MOST_BYTES
    assert result.preview_svg is not None
    assert len(result.preview_svg.encode()) <= MOST_BYTES


@pytest.mark.parametrize("parameters", [{"days": 0}, {"days": 93}, {"top": 25}, {"metric": "cpu_percent"}])
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TimeSeriesParameters(**parameters)


def _texts(svg: str) -> list[str]:
    return [shape.text for shape in read_svg(svg).shapes if shape.tag == "text"]
