from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from analytics_assets.charts.table import CHART, Chart, chart_rows, result_sha256


def digest(**columns: pa.Array | pa.ChunkedArray) -> str:
    return result_sha256(pa.table(columns))


def test_the_fingerprint_does_not_depend_on_how_arrow_holds_the_rows() -> None:
    """Chunks, dictionaries and widths differ between sessions and versions; the result does not."""
    text = pa.array(["a", "b", None, "a"])
    assert digest(x=text) == digest(x=text.dictionary_encode())
    assert digest(x=text) == digest(x=text.cast(pa.large_string()))
    assert digest(x=text) == digest(x=pa.chunked_array([text.slice(0, 1), text.slice(1)]))
    assert digest(x=pa.array([1, None], pa.int8())) == digest(x=pa.array([1, None], pa.int64()))
    assert digest(x=pa.array([0.5], pa.float32())) == digest(x=pa.array([0.5], pa.float64()))
    moment = [datetime(2026, 3, 1, tzinfo=UTC)]
    zones = [pa.array(moment, pa.timestamp(unit, zone)) for unit, zone in (("ms", "UTC"), ("us", "Europe/Berlin"))]
    assert digest(x=zones[0]) == digest(x=zones[1])


def test_last_digits_of_a_sum_and_the_sign_of_zero_do_not_count() -> None:
    assert digest(x=pa.array([0.1 + 0.2, 0.0, float("nan")])) == digest(x=pa.array([0.3, -0.0, -float("nan")]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, 2]), pa.array([2, 1])),
        (pa.array([1.0]), pa.array([1.00000001])),
        (pa.array([0]), pa.array([None], pa.int64())),
        (pa.array([float("nan")]), pa.array([None], pa.float64())),
        (pa.array(["1"]), pa.array([1])),
        (pa.array([None, "None"]), pa.array(["None", None])),
        (pa.array(["a", "bc"]), pa.array(["ab", "c"])),
        (pa.array([], pa.int64()), pa.array([], pa.string())),
        (pa.array([date(2026, 3, 1)]), pa.array([date(2026, 3, 2)])),
        (pa.array([Decimal("1.5")]), pa.array([Decimal("1.6")])),
        (pa.array([[1, 2]]), pa.array([[1], [2]]).slice(0, 1)),
        (pa.array([True]), pa.array([False])),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([2**64 - 2], pa.uint64())),
    ],
)
def test_any_other_difference_changes_the_fingerprint(one: pa.Array, other: pa.Array) -> None:
    assert digest(x=one) != digest(x=other)


def test_names_and_their_order_are_part_of_the_result() -> None:
    one, two = pa.array([1]), pa.array([2])
    assert digest(a=one, b=two) != digest(b=two, a=one)
    assert digest(a=one) != digest(b=one)


def test_fingerprints_stay_what_they_were() -> None:
    """Stored fingerprints are compared with those of later versions of this software."""
    data = pa.table({"a": [1, None], "b": ["x", "é"], "c": [0.25, float("nan")]})
    assert result_sha256(data) == "1aebaf152a5d2d83a8e304fd6efc2c9ae846950619f3f2165d3e30f3bf8d8468"


def test_chart_rows_are_what_the_table_declares() -> None:
    rows = chart_rows(
        [
            Chart("b", "B", "alt", "percent", "SELECT 1", 1, "x", svg="<svg/>"),
            Chart("a", "A", "alt", "bytes", "SELECT 2", 0, "y", reason="nothing measured"),
        ]
    )
    stored = CHART.conform(rows).to_pylist()
    assert [(row["chart_id"], row["status"]) for row in stored] == [("a", "no_data"), ("b", "ok")]
