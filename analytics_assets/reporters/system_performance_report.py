"""What is wrong or will be, how loaded each node is, and what rises or falls.

Reads one day of the system load and of any number of trend analyzers. Page one ranks by days until
it hurts: nodes that were busy for long on this day and metrics near their limit are at 0; a metric
that rises significantly reaches its limit after (limit - level) / slope days. The conservative
count takes the upper end of the slope's 95 % interval and ranks; the expected one stands beside it.

Limits: 100 percent for CPU; a node's memory as the load has it; a VM's memory and disk as a capacity
analyzer has them, where one is an input. In a tenant's partition a node means the load of the
tenant's own VMs there, and percent is of their vCPUs.
"""

from collections.abc import Sequence

from pydantic import Field

from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.reporters.system_performance import queries, sentences, tables
from analytics_assets.reports import as_json, figures, html, pdf
from analytics_assets.reports.coverage import (
    Sampled,
    charts_section,
    facts_sentences,
    sampled_days,
    sampled_days_exhibit,
)
from analytics_assets.reports.document import REPORT, Answer, Figure, Finding, Report, Section
from resources.lake.lake import Facts
from resources.partition import PLATFORM


class SystemPerformanceReportParameters(Parameters):
    """What of the report can be set."""

    busy_percent: float = Field(
        90.0, gt=0, le=100, description="Use from which something counts as busy or full, in percent of its limit."
    )
    busy_minutes: int = Field(
        30,
        ge=0,
        le=1440,
        description="Minutes of the day that a node may be busy before that is a finding, in minutes.",
    )
    horizon_days: int = Field(365, ge=1, le=3650, description="How far ahead a limit is looked for, in days.")
    findings_shown: int = Field(8, ge=1, le=20, description="Sentences on page one about what is wrong, a count.")
    nodes_shown: int = Field(5, ge=1, le=20, description="Nodes on page one, busiest first, a count.")
    changes_shown: int = Field(5, ge=1, le=20, description="Changes on page one, largest first, a count.")
    least_change_percent: float = Field(
        2.0, ge=0, le=100,
        description="Least change over the window that page one names, in percent of the limit or the largest level.",
    )  # fmt: skip
    charts_shown: int = Field(8, ge=0, le=40, description="Charts in the report, a count; the others are named.")
    coverage_days: int = Field(28, ge=1, le=400, description="Days whose samples are counted, in days.")


def compute(workplace: Workplace, parameters: SystemPerformanceReportParameters) -> Result:
    """Write the system performance report of one partition.

    Raises:
        MissingPartition: the load, a trend table or the capacity table of this day was not made.
    """
    sources = stored_facts(workplace)
    report = write(workplace, parameters, ask_all(workplace, parameters))
    load = workplace.facts_of("load")
    return Result(
        data=figures.report_rows(report.figures),
        facts=workplace.facts(
            as_of_ms=report.as_of_ms,
            samples_seen=load.samples_seen,
            samples_expected=load.samples_expected,
            notes=tuple(dict.fromkeys(note for _, facts in sources for note in facts.notes)),
        ),
        files={"pdf": pdf.write(report), "html": html.write(report), "json": as_json.write(report)},
        numbers={"findings": len(report.findings()), "figures": len(report.figures), **report.counts()},
    )


def stored_facts(workplace: Workplace) -> list[tuple[str, Facts]]:
    """Return the name and the stored facts of each table that sentences are read from."""
    tables = [table for role in ("load", "trends", "capacity") for table in workplace.tables(role)]
    return [(table.name, workplace.lake.footer(table.name, workplace.partition)[1]) for table in tables]


def ask_all(workplace: Workplace, parameters: SystemPerformanceReportParameters) -> dict[str, Figure]:
    """Run every query of the report and return its figures by id, in the report's order."""
    run, partition = workplace.query, workplace.partition
    today = [partition.day]
    load, capacity = workplace.tables("load")[0], workplace.tables("capacity")
    names = {"load": figures.identifier(load.name)}
    rows = []
    for table in workplace.tables("trends"):
        named = {"table": figures.identifier(table.name), "source": f"'{table.name}'"}
        rows.append(figures.fill(queries.TREND_ROWS, today, named))
    names["trends"] = _joined(queries.TRENDS, rows)
    rows = [figures.fill(queries.NODE_SIZES, today, names)]
    if capacity:
        names["capacity"] = figures.identifier(capacity[0].name)
        rows.append(figures.fill(queries.VM_SIZES, today, names))
    names["sizes"] = _joined(queries.SIZES, rows)
    names["measured"] = figures.fill(queries.MEASURED, today, names)
    names["minutes"] = f"{workplace.resolution_seconds / 60:g}"
    names["buckets"] = f"{(workplace.as_of_ms('load') - partition.start_ms) // (1000 * workplace.resolution_seconds)}"
    names["busy_percent"], names["busy_minutes"] = f"{parameters.busy_percent:g}", f"{parameters.busy_minutes}"
    names["horizon_days"] = f"{parameters.horizon_days}"
    found = [figures.ask(run, *asked, today, names, section="findings") for asked in queries.FINDINGS]
    if capacity:
        found += [figures.ask(run, *asked, today, names, section="findings") for asked in queries.VMS]
    found += figures.stored_charts(run, [table.name for table in workplace.tables("charts")], partition.day)
    found += [figures.ask(run, *asked, today, names, section="coverage") for asked in queries.COVERAGE]
    sampled = Sampled(load.name, "node_id", workplace.resolution_seconds, workplace.as_of_ms("load"))
    found.append(sampled_days(run, sampled, partition.trailing_days(parameters.coverage_days)))
    return {figure.id: figure for figure in found}


def _joined(template: str, rows: Sequence[str]) -> str:
    indent = "\n        "
    return template.format(rows=f"{indent}{f'{indent}UNION ALL{indent}'.join(rows)}")


def write(workplace: Workplace, parameters: SystemPerformanceReportParameters, found: dict[str, Figure]) -> Report:
    """Return the report that the figures say."""
    partition = workplace.partition
    tenant_scope = partition.tenant != PLATFORM
    notes = [note for name, facts in stored_facts(workplace) for note in facts_sentences(f"table {name}", facts)]
    notes = list(dict.fromkeys(notes))
    busy = (parameters.busy_percent, parameters.busy_minutes)
    wrong = sentences.pressing(found, tenant_scope, busy, parameters.horizon_days)
    listed = {(finding.entity_kind, finding.entity_id, finding.subject) for finding in wrong}
    changes = sentences.changes(found, tenant_scope, listed, parameters.least_change_percent)
    unknown = [*sentences.unknowns(found, tenant_scope), *[Finding(note, "performance.unknown") for note in notes]]
    loads = sentences.loads(found, tenant_scope)
    loaded = "How loaded your VMs are, node by node" if tenant_scope else "How loaded each node is, busiest first"
    answers = [
        Answer("What is wrong, or will be", tuple(wrong), parameters.findings_shown),
        Answer(loaded, tuple(loads), parameters.nodes_shown),
        Answer("What rises or falls", tuple(changes), parameters.changes_shown),
        Answer("What is not known", tuple(unknown), 3),
    ]
    return Report(
        name=workplace.instance.id,
        title="System performance",
        tenant=partition.tenant,
        day=partition.day,
        as_of_ms=workplace.as_of_ms("load"),
        headline=sentences.headline(found, wrong),
        answers=tuple(answer for answer in answers if answer.findings),
        sections=evidence(found, parameters, tenant_scope),
        coverage=coverage(workplace, parameters, found, notes),
        unknown=tuple(finding.sentence for finding in unknown),
        figures=tuple(found.values()),
    )


def evidence(
    found: dict[str, Figure], parameters: SystemPerformanceReportParameters, tenant_scope: bool
) -> tuple[Section, ...]:
    """Return the parts after page one, each only if it has something to show."""
    parts = (
        (
            "What is wrong, or will be",
            (
                ("performance.saturated", tables.saturated_table),
                ("performance.busy_vms", tables.busy_vms_table),
                ("performance.limits", tables.limits_table),
            ),
        ),
        ("Load", (("performance.load", tables.load_table),)),
        ("What rises or falls", (("performance.changes", tables.changes_table),)),
    )
    sections = []
    for title, drawn in parts:
        exhibits = [draw(found[name], tenant_scope) for name, draw in drawn if name in found and found[name].rows]
        if exhibits:
            sections.append(Section(title, tuple(exhibits)))
    charts = charts_section([figure for figure in found.values() if figure.kind == "chart"], parameters.charts_shown)
    return (*sections, charts) if charts else tuple(sections)


def coverage(
    workplace: Workplace, parameters: SystemPerformanceReportParameters, found: dict[str, Figure], notes: list[str]
) -> Section:
    """Return how good the data were: samples by day, and the trends that lack them."""
    days = workplace.partition.trailing_days(parameters.coverage_days)
    exhibits = (
        tables.unknown_table(found["performance.unknown"]),
        sampled_days_exhibit(found["coverage.days"], days, "Nodes"),
    )
    return Section("Coverage", exhibits, (*sentences.data_used(found), *notes))


COMPONENT = Component(
    name="system_performance_report",
    stage="reporters",
    title="System performance report",
    description=(
        "Says what is wrong or will be, by days until it hurts, how loaded each node is and when it peaked, what rises "
        "or falls significantly, and what is not known; each sentence from a figure whose SQL is in the report. For a "
        "tenant, nodes stand for the load of its own VMs there."
    ),
    parameters=SystemPerformanceReportParameters,
    inputs=(
        Input("load", ("system_load",), "Load of each node, bucket by bucket"),
        Input("trends", ("metric_trends",), "Trends of VMs and nodes", many=True),
        Input("charts", ("time_series_charts", "heatmap_charts"), "Charts to print", many=True, optional=True),
        Input("capacity", ("capacity",), "Sizes of the VMs' memory and disk", optional=True),
    ),
    table=REPORT.named("system_performance_report"),
    compute=compute,
    formats=("pdf", "html", "json"),
)
