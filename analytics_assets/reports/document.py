"""What a report is: answers in sentences, the evidence under them, what is not known, and every figure.

A reporter fills a `Report`; the writers (pdf, html, as_json) lay the same one out. The figures are
also rows of the `REPORT` table, so that each can be found and run again on its own.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

import pyarrow as pa

from resources.lake.table import ENTITY, Column, Table

Severity = Literal["critical", "immediate", "warning", "notice"]
SEVERITIES: tuple[Severity, ...] = ("critical", "immediate", "warning", "notice")
Kind = Literal["number", "table", "chart"]
Place = Literal["findings", "evidence", "coverage"]

REPORT = Table(
    name="report",
    description="a figure of the report: one number, table or chart, with the SQL that makes it",
    columns=(
        Column("position", pa.int32(), "Place in the report, from 1", minimum=1),
        Column("figure_id", pa.string(), "Name of the figure, the same every day"),
        Column(
            "section",
            ENTITY,
            "Part of the report that rests on it",
            values=("findings", "evidence", "coverage"),
        ),
        Column("kind", ENTITY, "What the figure is", values=("number", "table", "chart")),
        Column("title", pa.string(), "What the figure shows"),
        Column("sql", pa.string(), "One SELECT over the tenant's views that makes the figure again"),
        Column("status", ENTITY, "ok, or no_data where the query found nothing", values=("ok", "no_data")),
        Column("reason", pa.string(), "Why there is no data", nullable=True),
        Column("rows", pa.int32(), "Rows of the query's result", minimum=0),
        Column("result_sha256", pa.string(), "Hash of the query's result, to compare with a later run"),
        Column("value", pa.string(), "The number, or the table as JSON; null for a chart", nullable=True),
    ),
    primary_key=("figure_id",),
    sort_order=("position",),
)


@dataclass(frozen=True)
class Figure:
    """One number, table or chart: the SQL that makes it and what that gave.

    `data` is the query's result; a chart keeps its drawing (`svg`) and text alternative (`alt`)
    in its place. `rows` and `result_sha256` describe the result of `sql` in either case.
    """

    id: str
    section: Place
    kind: Kind
    title: str
    sql: str
    rows: int
    result_sha256: str
    data: pa.Table = field(default_factory=lambda: pa.table({}))
    reason: str | None = None
    unit: str = ""
    alt: str = ""
    svg: str | None = None

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "no_data"

    def records(self) -> list[dict[str, Any]]:
        """Return the result's rows, as the query ordered them."""
        rows: list[dict[str, Any]] = self.data.to_pylist()
        return rows

    def record(self) -> dict[str, Any]:
        """Return the only row of a figure that always has one, every value None if it has none."""
        return next(iter(self.records()), dict.fromkeys(self.data.column_names))


@dataclass(frozen=True)
class Finding:
    """One answer: a sentence, the figure it was read from, and how long until it hurts (None: it does not)."""

    sentence: str
    figure_id: str
    severity: Severity = "notice"
    days_until: float | None = None
    entity_kind: str | None = None
    entity_id: str | None = None
    subject: str | None = None
    """The resource or metric it is about."""


@dataclass(frozen=True)
class Answer:
    """A question of page one and its findings, worst first; `shown` of them fit on the page."""

    question: str
    findings: tuple[Finding, ...]
    shown: int = 5

    @property
    def left_out(self) -> int:
        return max(0, len(self.findings) - self.shown)

    @property
    def figure_of_rest(self) -> str:
        """The figure to look at for the findings that do not fit."""
        return self.findings[min(self.shown, len(self.findings) - 1)].figure_id


@dataclass(frozen=True)
class Headline:
    """One number of the band on top: what it counts, the number, and a word on it."""

    label: str
    value: str
    note: str = ""
    severity: Severity | None = None


@dataclass(frozen=True)
class GridColumn:
    """A column of a drawn table: heading (with its unit), formatted cells, and its share of the width."""

    heading: str
    cells: tuple[str, ...]
    numeric: bool = True
    weight: float = 1.0


@dataclass(frozen=True)
class Exhibit:
    """A piece of evidence: a figure, what to read out of it, and for tables how it is drawn."""

    figure: Figure
    text: str
    grid: tuple[GridColumn, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the report after page one."""

    title: str
    exhibits: tuple[Exhibit, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report of one tenant and day. `name` is the instance that made it, `as_of_ms` its instant."""

    name: str
    title: str
    tenant: str
    day: date
    as_of_ms: int
    headline: tuple[Headline, ...]
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]
    coverage: Section
    unknown: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def as_of(self) -> str:
        """The instant the report pretends to be at, `2026-03-29 00:00`, in UTC."""
        return f"{datetime.fromtimestamp(self.as_of_ms / 1000, UTC):%Y-%m-%d %H:%M}"

    @property
    def heading(self) -> str:
        return f"{self.title} of {self.tenant}, {self.day.isoformat()}"

    def findings(self) -> list[Finding]:
        """Return all findings: those that hurt first by days until they do, the others as they stand."""
        everything = [finding for answer in self.answers for finding in answer.findings]
        return sorted(everything, key=lambda found: (found.days_until is None, found.days_until or 0.0))

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each severity."""
        found = Counter(finding.severity for finding in self.findings())
        return {severity: found[severity] for severity in SEVERITIES}


def grid(figure: Figure, *columns: tuple[str, Any, bool, float]) -> tuple[GridColumn, ...]:
    """Return a drawn table of `figure`: heading, a function from row to text, numeric?, and weight per column."""
    rows = figure.records()
    return tuple(
        GridColumn(heading, tuple(write(row) for row in rows), numeric, weight)
        for heading, write, numeric, weight in columns
    )
