"""What the writers make of reports that no fleet of the scenarios would give."""

import json
from dataclasses import replace
from datetime import date
from io import BytesIO

import pyarrow as pa
import pytest
from pypdf import PdfReader

from analytics_assets.reports import as_json, html, pdf
from analytics_assets.reports.document import Answer, Exhibit, Figure, Finding, Headline, Report, Section, grid
from analytics_assets.reports.figures import day_condition, identifier, report_rows

NUMBERS = pa.table({"name": ["a", "b"], "value": [1.5, float("nan")]})
FIGURE = Figure("f.one", "findings", "table", "Numbers", "SELECT 1", 2, "0" * 64, NUMBERS)


def report(findings=3, exhibits=1):
    exhibit = Exhibit(FIGURE, "Text.", grid(FIGURE, ("Name", lambda row: row["name"], False, 1)))
    text = "Sentence {0} that is here. Sentence {0} that is here."
    said = tuple(Finding(text.format(at), "f.one", "critical", float(at)) for at in range(findings))
    return Report(
        "name", "Title", "acme", date(2026, 3, 28), 1_774_742_400_000, (Headline("VMs", "2"),),
        (Answer("First?", said, 20), Answer("Second?", said, 20), Answer("Third?", said[:2], 20)),
        (Section("Evidence", (exhibit,) * exhibits),), Section("Coverage", sentences=("All there.",)), ("Nothing.",),
        (FIGURE,),
    )  # fmt: skip


def texts(content):
    return [page.extract_text() for page in PdfReader(BytesIO(pdf.write(content))).pages]


def test_page_one_shows_fewer_findings_rather_than_run_over():
    pages = texts(report(findings=18))
    assert "Third?" in pages[0]
    assert "more: see figure f.one." in pages[0]
    assert pages[1].index("Evidence") < 200


def test_page_one_shows_all_that_fits():
    first = texts(report(findings=6))[0]
    assert "more: see" not in first
    assert first.count("Sentence 5") == 4


def test_answers_that_need_two_pages_leave_no_empty_page():
    """Nine answers of findings that cannot be left out run over; the evidence follows on the same page."""
    long = report(findings=3)
    pages = texts(replace(long, answers=long.answers * 3))
    assert "Evidence" in pages[1]
    assert "Sentence" in pages[1]


@pytest.mark.parametrize("value", ["unknown", "12,040 of 13,000", "7"])
def test_a_headline_number_stays_on_one_line(value):
    """A sixth of the page is narrower than `unknown` in large type: it was cut in two."""
    band = (Headline("Coverage", value),) * 6
    assert value in texts(replace(report(), headline=band))[0].splitlines()


def test_json_has_no_number_that_is_not_one():
    """NaN is not JSON, and would stop every strict reader."""
    data = json.loads(as_json.write(report()), parse_constant=pytest.fail)["figures"][0]["data"]
    assert data == {"columns": ["name", "value"], "rows": [["a", 1.5], ["b", None]]}


@pytest.mark.parametrize(
    "svg",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        "<svg><foreignObject/></svg>",
        '<svg><a href="javascript:alert(1)">x</a></svg>',
        "no drawing",
    ],
)
def test_a_drawing_with_anything_active_is_told_in_words(svg):
    chart = replace(FIGURE, kind="chart", svg=svg, alt="What <it> shows")
    assert html.drawing(chart) == "<p>What &lt;it&gt; shows</p>"


def test_days_and_tables_are_written_as_sql_takes_them():
    assert day_condition([date(2026, 3, 1)]) == "day = DATE '2026-03-01'"
    days = [date(2026, 3, 28), date(2026, 3, 1)]
    assert day_condition(days) == "day BETWEEN DATE '2026-03-01' AND DATE '2026-03-28'"
    assert (identifier("capacity"), identifier("order")) == ("capacity", '"order"')


def test_rows_hold_a_number_as_a_number_and_a_table_as_json():
    number = replace(FIGURE, id="f.two", kind="number", data=pa.table({"n": [7]}), rows=1)
    values = report_rows([FIGURE, number]).column("value").to_pylist()
    assert values == ['{"columns":["name","value"],"rows":[["a",1.5],["b",null]]}', "7"]
