"""What holds for every report of every fleet: same bytes, every claim a query, no name does harm."""

import json
import re
from datetime import date
from functools import cache
from html.parser import HTMLParser
from io import BytesIO

import pyarrow as pa
import pytest
from pypdf import PdfReader

from analytics_assets.charts.table import result_sha256
from analytics_assets.reports.rerun import command
from resources.lake.lake import Lake
from resources.lake.table import Table
from resources.lake.warehouse import QueryLimits, open_session
from resources.partition import Partition
from tests.analytics_assets.reporters.scenario import DAY, FLEETS, HOSTILE, REPORTS, STORED, made, make

EVERY = [(fleet, report) for fleet in FLEETS for report in REPORTS]
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "dl", "dt", "dd", "div",
    "section", "ol", "ul", "li", "span", "small", "b", "a", "table", "caption", "thead", "tbody", "tr", "th", "td",
    "pre", "figure", "figcaption", "svg", "g", "path", "rect", "circle", "text", "image", "desc",
}  # fmt: skip


@cache
def pages(fleet, report):
    """Return the text of each page of a report's PDF."""
    reader = PdfReader(BytesIO(made(fleet, report)[1].files["pdf"]), strict=True)
    return [page.extract_text() for page in reader.pages]


def squeezed(text):
    """Return text without white space, which a page sets as it likes, and without invisible isolates."""
    return re.sub(r"[\s\u00a0\u2066-\u2069]+", "", text)


@pytest.mark.parametrize("fleet", ["disk_filling", "hostile", "nodes"])
@pytest.mark.parametrize("report", REPORTS)
def test_the_same_inputs_give_the_same_bytes(fleet, report):
    lake, first = made(fleet, report)
    second = make(lake, report, FLEETS[fleet]().tenant)
    assert first.files == second.files
    assert first.data.equals(second.data)
    assert first.facts == second.facts


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_the_rows_are_what_the_table_declares_and_can_be_stored(tmp_path, fleet, report):
    _, result = made(fleet, report)
    instance = REPORTS[report]
    lake = Lake(tmp_path)
    lake.write(instance.table, Partition("acme", DAY), result.data, result.facts, result.files)
    again = lake.read_day(instance.table, Partition("acme", DAY))
    assert again.column("position").to_pylist() == list(range(1, result.data.num_rows + 1))
    assert set(result.files) == set(instance.component.formats)


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_every_figure_runs_again_to_its_stored_hash(fleet, report):
    """As a reader runs it: over all stored days, with every table of the tenant and one thread."""
    lake, result = made(fleet, report)
    tables: list[Table] = [instance.table for instance in STORED]
    limits = QueryLimits(max_rows=100_000, timeout_seconds=60, memory_mb=512, threads=1)
    with open_session(lake, FLEETS[fleet]().tenant, tables, limits) as session:
        for row in result.data.to_pylist():
            data: pa.Table = session.query(row["sql"])
            assert (data.num_rows, result_sha256(data)) == (row["rows"], row["result_sha256"]), row["figure_id"]


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_the_json_has_its_shape_and_every_finding_its_figure(fleet, report):
    _, result = made(fleet, report)
    content = json.loads(result.files["json"])
    assert {
        "schema_version", "report", "tenant", "day", "as_of", "headline", "findings", "figures", "coverage", "unknown",
    } <= set(content)  # fmt: skip
    assert (content["schema_version"], content["day"], content["as_of"]) == (
        1,
        "2026-03-28",
        "2026-03-29T00:00:00+00:00",
    )
    assert date.fromisoformat(content["day"]) == DAY
    figures = {figure["id"]: figure for figure in content["figures"]}
    assert list(figures) == result.data.column("figure_id").to_pylist()
    assert content["findings"]
    assert content["unknown"]
    for finding in content["findings"]:
        assert set(finding) == {
            "sentence", "days_until", "severity", "figure_id", "entity_kind", "entity_id", "subject"
        }  # fmt: skip
        assert finding["figure_id"] in figures
        assert finding["sentence"].endswith(".")
    days = [finding["days_until"] for finding in content["findings"] if finding["days_until"] is not None]
    assert days == sorted(days)
    assert set(content["coverage"]["figures"]) <= set(figures)


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_the_pdf_holds_the_answers_and_every_query(fleet, report):
    _, result = made(fleet, report)
    content = json.loads(result.files["json"])
    text = squeezed("".join(pages(fleet, report)))
    for sentence in [content["findings"][0]["sentence"], *content["unknown"], *content["coverage"]["sentences"]]:
        if sentence.isascii():  # the order of letters drawn from right to left is the reader's business
            assert squeezed(sentence) in text
    for figure in content["figures"]:
        assert figure["result_sha256"] in text
    assert f"Page1of{len(pages(fleet, report))}" in text
    assert len(pages(fleet, report)) < 30


@pytest.mark.parametrize("report", REPORTS)
def test_the_pdf_prints_sql_as_it_is_run(report):
    """A command copied from the page has to be the stored one, whatever its line breaks."""
    _, result = made("healthy", report)
    text = squeezed("".join(pages("healthy", report)))
    shown = [row for row in result.data.to_pylist() if squeezed(command(row["sql"], "acme")) in text]
    assert len(shown) >= result.data.num_rows - 3  # some queries run over the foot of a page


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_page_one_is_one_page_and_no_page_is_left_blank(fleet, report):
    """The answers end on page one, and what follows them is not an orphan."""
    assert "What is not known" in pages(fleet, report)[0]
    assert all(len(page) > 150 for page in pages(fleet, report))


@pytest.mark.parametrize(("fleet", "report"), EVERY)
def test_the_page_is_inert_and_stands_alone(fleet, report):
    _, result = made(fleet, report)
    page = result.files["html"].decode()

    class Reader(HTMLParser):
        """Collects what could do something."""

        tags: set[str] = set()  # noqa: RUF012 - one reader for each test
        links: list[str] = []  # noqa: RUF012
        ids: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)
            for name, value in attributes:
                assert not name.startswith("on")
                assert name not in ("src", "srcset", "action", "formaction")
                if name in ("href", "xlink:href"):
                    self.links.append(value)
                if name == "id":
                    self.ids.append(value)

    Reader.tags, Reader.links, Reader.ids = set(), [], []
    reader = Reader()
    reader.feed(page)
    assert reader.tags <= TAGS
    assert "<script" not in page.lower()
    assert "</script" not in page.lower()
    assert {link for link in reader.links if not link.startswith("data:image/png;")} <= {
        f"#{name}" for name in reader.ids
    }
    assert len(reader.ids) == len(set(reader.ids))


@pytest.mark.parametrize("report", REPORTS)
def test_hostile_names_are_shown_but_do_nothing(report):
    _, result = made("hostile", report)
    page = result.files["html"].decode()
    assert "&lt;b&gt;&amp;&lt;/script&gt;" in page
    assert "\x07" not in page
    assert "\x1b" not in page
    assert f"{'n' * 32}\u2026{'n' * 15}" in page
    # The right-to-left name is isolated, so that the words after it keep their place.
    assert f"\u2068{HOSTILE[2]}\u2069" in page
    for reader_page in PdfReader(BytesIO(result.files["pdf"])).pages:
        for annotation in reader_page.get("/Annots", []):
            assert "/A" not in annotation.get_object() or annotation.get_object()["/A"]["/S"] == "/GoTo"
    for active in (b"/JavaScript", b"/JS", b"/Launch", b"/OpenAction", b"/URI"):
        assert active not in result.files["pdf"]
    names = {finding["entity_id"] for finding in json.loads(result.files["json"])["findings"]}
    assert set(HOSTILE) <= names  # programs get the names as they are


@pytest.mark.parametrize("report", REPORTS)
def test_no_clock_no_path_and_no_version_in_the_files(report):
    """They would change the bytes from one day or machine to the next."""
    lake, result = made("healthy", report)
    for content in result.files.values():
        assert str(lake.root).encode() not in content
    assert b"/CreationDate (D:20000101000000+00'00')" in result.files["pdf"]
