"""What runs out and when, which VMs have the wrong size, and how much is allocated, used and left.

Reads one capacity table of the report's own day. Page one ranks what runs out by the conservative
projection (the upper bound of the demand reaching the usable size) and gives the expected day beside it.
"Used" is the 95th percentile of the last 7 days' hourly 95th percentiles, as the capacity table defines it.

What could be given back: an oversized VM's vCPUs and memory above its recommended size (a disk is
not shrunk), and everything of an idle or powered-off VM. The classes are the capacity table's own.
"""

from pydantic import Field

from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.reporters.capacity_planning import queries, sentences, tables
from analytics_assets.reports import as_json, figures, html, pdf
from analytics_assets.reports.coverage import (
    Sampled,
    charts_section,
    facts_sentences,
    sampled_days,
    sampled_days_exhibit,
)
from analytics_assets.reports.document import REPORT, Answer, Figure, Finding, Report, Section


class CapacityPlanningReportParameters(Parameters):
    """What of the report can be set."""

    findings_shown: int = Field(8, ge=1, le=20, description="Sentences on page one about what runs out, a count.")
    charts_shown: int = Field(8, ge=0, le=40, description="Charts in the report, a count; the others are named.")
    coverage_days: int = Field(28, ge=1, le=400, description="Days whose samples are counted, in days.")


def compute(workplace: Workplace, parameters: CapacityPlanningReportParameters) -> Result:
    """Write the capacity planning report of one partition.

    Raises:
        MissingPartition: the capacity table of this day was not made.
    """
    stored = workplace.facts_of("capacity")
    report = write(workplace, parameters, ask_all(workplace, parameters))
    return Result(
        data=figures.report_rows(report.figures),
        facts=workplace.facts(
            as_of_ms=report.as_of_ms,
            samples_seen=stored.samples_seen,
            samples_expected=stored.samples_expected,
            notes=stored.notes,
        ),
        files={"pdf": pdf.write(report), "html": html.write(report), "json": as_json.write(report)},
        numbers={"findings": len(report.findings()), "figures": len(report.figures), **report.counts()},
    )


def ask_all(workplace: Workplace, parameters: CapacityPlanningReportParameters) -> dict[str, Figure]:
    """Run every query of the report and return its figures by id, in the report's order."""
    run, partition = workplace.query, workplace.partition
    today = [partition.day]
    names = {"capacity": figures.identifier(workplace.tables("capacity")[0].name), "names": queries.NOTHING_NAMED}
    inventory, samples = workplace.tables("inventory"), workplace.tables("samples")
    if inventory:
        names["inventory"] = figures.identifier(inventory[0].name)
        names["names"] = figures.fill(queries.NAMED, today, names)
    names["sized"] = figures.fill(queries.SIZED, today, names)
    found = [figures.ask(run, *asked, today, names, section="findings") for asked in queries.FINDINGS]
    found += [figures.ask(run, *asked, today, names) for asked in queries.EVIDENCE]
    if inventory:
        found.append(figures.ask(run, *queries.INVENTORY, today, names))
    found += figures.stored_charts(run, [table.name for table in workplace.tables("charts")], partition.day)
    found += [figures.ask(run, *asked, today, names, section="coverage") for asked in queries.COVERAGE]
    if samples:
        hourly = workplace.instance.inputs["samples"][0].component.name == "vm_resources_hourly"
        seconds = 3600 if hourly else workplace.resolution_seconds
        sampled = Sampled(samples[0].name, "vm_id", seconds, workplace.as_of_ms("samples"))
        found.append(sampled_days(run, sampled, partition.trailing_days(parameters.coverage_days)))
    return {figure.id: figure for figure in found}


def write(workplace: Workplace, parameters: CapacityPlanningReportParameters, found: dict[str, Figure]) -> Report:
    """Return the report that the figures say."""
    partition = workplace.partition
    notes = facts_sentences("the capacity table", workplace.facts_of("capacity"))
    summary = found["capacity.summary"].record()
    runs_out = sentences.running_out(found["capacity.exhaustion"], summary, partition.day)
    listed = {finding.entity_id for finding in runs_out if finding.entity_kind == "vm"}
    unknown = [*sentences.unknowns(found, summary), *[Finding(note, "capacity.summary") for note in notes]]
    have = "What there is, used and left" if summary["nodes"] else "What is allocated, used and left"
    answers = [
        Answer("What runs out, and when", tuple(runs_out), parameters.findings_shown),
        Answer("Which VMs have the wrong size", tuple(sentences.wrong_sizes(found, listed)), 6),
        Answer(have, tuple(sentences.totals(found)), 6),
        Answer("What is not known", tuple(unknown), 3),
    ]
    return Report(
        name=workplace.instance.id,
        title="Capacity planning",
        tenant=partition.tenant,
        day=partition.day,
        as_of_ms=workplace.as_of_ms("capacity"),
        headline=sentences.headline(found, summary, runs_out),
        answers=tuple(answer for answer in answers if answer.findings),
        sections=evidence(found, parameters),
        coverage=coverage(workplace, parameters, found, notes),
        unknown=tuple(finding.sentence for finding in unknown),
        figures=tuple(found.values()),
    )


def evidence(found: dict[str, Figure], parameters: CapacityPlanningReportParameters) -> tuple[Section, ...]:
    """Return the parts after page one, each only if it has something to show."""
    parts = (
        ("What runs out", (("capacity.exhaustion", tables.exhaustion_table),)),
        ("Sizes", (("capacity.classes", tables.classes_table), ("capacity.sizes", tables.sizes_table))),
        (
            "Allocated, used and left",
            (
                ("capacity.totals", tables.totals_table),
                ("capacity.nodes", tables.nodes_table),
                ("inventory.states", tables.states_table),
                ("capacity.use", tables.use_table),
            ),
        ),
    )
    sections = []
    for title, drawn in parts:
        exhibits = [draw(found[name]) for name, draw in drawn if name in found and found[name].rows]
        if exhibits:
            sections.append(Section(title, tuple(exhibits)))
    charts = charts_section([figure for figure in found.values() if figure.kind == "chart"], parameters.charts_shown)
    return (*sections, charts) if charts else tuple(sections)


def coverage(
    workplace: Workplace, parameters: CapacityPlanningReportParameters, found: dict[str, Figure], notes: list[str]
) -> Section:
    """Return how good the data were: days used, samples, and what lacks them."""
    said = [*sentences.data_used(found["capacity.summary"].record()), *notes]
    exhibits = [tables.unknown_table(found["capacity.unknown"])]
    if "coverage.days" in found and found["capacity.summary"].record()["vms"]:
        days = workplace.partition.trailing_days(parameters.coverage_days)
        exhibits.append(sampled_days_exhibit(found["coverage.days"], days))
    return Section("Coverage", tuple(exhibits), tuple(said))


COMPONENT = Component(
    name="capacity_planning_report",
    stage="reporters",
    title="Capacity planning report",
    description=(
        "Says what runs out and when (conservative and expected), which VMs have the wrong size and what they could "
        "give back, what is allocated, used and left, and what is not known; each sentence from a figure whose SQL "
        "is in the report."
    ),
    parameters=CapacityPlanningReportParameters,
    inputs=(
        Input("capacity", ("capacity",), "Use against size of each VM or node, with the days left"),
        Input("charts", ("time_series_charts", "heatmap_charts"), "Charts to print", many=True, optional=True),
        Input("inventory", ("vm_inventory",), "Names and states of the VMs", optional=True),
        Input("samples", ("vm_resources_hourly", "vm_resources"), "Whose samples are counted by day", optional=True),
    ),
    table=REPORT.named("capacity_planning_report"),
    compute=compute,
    formats=("pdf", "html", "json"),
)
