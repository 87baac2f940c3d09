"""The sentences of the capacity planning report, each built from one figure's rows."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from analytics_assets.reports import words
from analytics_assets.reports.document import Figure, Finding, Headline, Severity
from analytics_assets.reports.words import count, quantity

RESOURCES = {"cpu": "CPU", "memory": "Memory", "disk": "Disk"}
SEVERAL = {"node": "nodes", "tier": "storage tiers"}
PRESSING: tuple[Severity, ...] = ("critical", "immediate", "warning")


def headline(found: dict[str, Figure], summary: dict[str, Any], runs_out: Sequence[Finding]) -> tuple[Headline, ...]:
    """Return the band on top: how much was looked at, how well, and how much presses."""
    first = Headline("VMs", f"{summary['vms']:,}")
    if summary["nodes"]:
        first = Headline(
            "Nodes", f"{summary['nodes']:,}", f"and {count(summary['vms'], 'VM')}" if summary["vms"] else ""
        )
    elif "inventory.states" in found:
        states = found["inventory.states"].records()
        first = Headline(first.label, first.value, ", ".join(f"{row['vms']:,} {row['state']}" for row in states))
    judged = Headline("Answered", f"{summary['judged']:,} of {summary['resources']:,}", "resources")
    window = summary["window_days"]
    measured = Headline(
        "Coverage",
        quantity(summary["coverage_percent"], "percent"),
        f"of the samples of {count(window, 'day')}" if window else "",
    )
    counts = [
        Headline(words.capital(level), f"{sum(finding.severity == level for finding in runs_out):,}", "run out", level)
        for level in PRESSING
    ]
    return (first, judged, measured, *counts)


def entity(row: dict[str, Any], size: bool = True) -> str:
    """Return how a sentence names an entity: `vm-acme-007 (web, 40 GiB)`, `node n1 (64 cores)`."""
    shown = words.name(row["entity_id"])
    if row.get("entity_kind") == "node":
        shown = words.node(row["entity_id"])
    elif row.get("entity_kind") == "tenant":
        shown = f"all VMs of {shown}"
    elif row.get("entity_kind") == "cluster":
        shown = "all nodes together"
    elif row.get("entity_kind") == "tier":
        shown = f"storage tier {shown}"
    about = [words.name(row["vm_name"])] if row.get("vm_name") and row["vm_name"] != row["entity_id"] else []
    if size and row.get("physical") is not None:
        about.append(quantity(row["physical"], row["unit"]))
    return f"{shown} ({', '.join(about)})" if about else shown


def running_out(figure: Figure, summary: dict[str, Any], day: date) -> list[Finding]:
    """Return a sentence for each resource that presses, or the one that says why there is none."""
    rows = figure.records()
    pressing = [
        Finding(
            sentence=exhaustion(row),
            figure_id=figure.id,
            severity=row["level"],
            days_until=row["days_conservative"],
            entity_kind=row["entity_kind"],
            entity_id=row["entity_id"],
            subject=row["resource"],
        )
        for row in rows
        if row["level"] in PRESSING
    ]
    if pressing:
        return pressing
    if not summary["resources"]:
        text = f"The capacity table has no row on {day.isoformat()}: there was nothing to look at."
        return [Finding(text, "capacity.summary")]
    if not summary["judged"]:
        asked = count(summary["resources"], "resource")
        text = f"No answer: not one of the {asked} looked at has enough data (reasons under What is not known)."
        return [Finding(text, "capacity.summary")]
    judged = f"{count(summary['judged'], 'resource')} that could be judged"
    text = f"Nothing presses: of the {judged}, none is at the level warning or above."
    if rows:
        text += f" The first to run out would be this: {exhaustion(rows[0])}"
    else:
        text += f" None reaches its usable size within {count(summary['horizon_days'], 'day')}."
    return [Finding(text, figure.id if rows else "capacity.summary")]


def exhaustion(row: dict[str, Any]) -> str:
    """Return the sentence of one resource that runs out: when, used of usable, and how it grows."""
    resource, unit = row["resource"], row["unit"]
    used = f"{quantity(row['demand_p95'], unit)} used of {quantity(row['usable'], unit)} usable"
    text = f"{RESOURCES[resource]} of {entity(row)} {_event(row)}: {used}, {growth(row)}."
    advised, size = row["recommended_total"], row["physical"]
    if advised is not None and size is not None and advised > size:
        text += f" Recommended: {quantity(advised, unit)}."
    return text


def _event(row: dict[str, Any]) -> str:
    """Return what happens and when; it never contradicts the use and the size that follow it in the sentence."""
    left, expected = row["days_conservative"], row["days_expected"]
    over = row["demand_p95"] > row["usable"]
    at_times = "is over what is usable in its busiest hours" if over else ""
    if left is None:
        return f"{at_times or 'is not expected to run out'} (level {row['level']})"
    if left <= 0:
        return "is over what is usable now" if over else "is expected to pass what is usable today"
    if expected is None:
        bound = f"(upper bound of the projection; expected: not within {count(row['horizon_days'], 'day')})"
        if over:
            return f"{at_times}, and may be so in {words.days(left)} again {bound}"
        return f"may pass what is usable within {words.days(left)} in its busiest hours {bound}"
    day = words.whole_days(expected)
    beside = "expected the same" if day == words.whole_days(left) else f"expected {day}"
    end = "at its limit" if row["resource"] == "cpu" else "full"
    if over:
        return f"{at_times}, and {end} for good in {words.days(left)} ({beside})"
    return f"is {end} in {words.days(left)} ({beside})"


def growth(row: dict[str, Any]) -> str:
    """Return how the demand moves: `growing 0.52 GiB a day over 28 days`."""
    slope, window = row["slope_per_day"], count(row["days_used"], "day")
    if slope is None or row["direction"] not in ("rising", "falling"):
        return f"no significant growth over {window}"
    verb = "growing" if row["direction"] == "rising" else "shrinking"
    return f"{verb} {quantity(abs(slope), row['unit'])} a day over {window}"


def wrong_sizes(found: dict[str, Figure], listed: set[str | None]) -> list[Finding]:
    """Return what to resize: each undersized VM not `listed` already, then what could be given back, by class."""
    classes = {row["size_class"]: row for row in found["capacity.classes"].records()}
    sizes = found["capacity.sizes"].records()
    findings = []
    for row in sizes:
        if row["size_class"] == "undersized" and row["entity_id"] not in listed:
            text = f"VM {entity(row, size=False)} is undersized: {words.clause(row['size_reason'])}."
            findings.append(
                Finding(text, "capacity.sizes", "warning", entity_kind="vm", entity_id=row["entity_id"], subject="size")
            )
    for size_class, adjective in (("oversized", "oversized"), ("idle", "idle"), ("powered_off", "powered off")):
        if size_class in classes:
            members = [row for row in sizes if row["size_class"] == size_class]
            findings.append(
                Finding(reclaim(classes[size_class], members, adjective), "capacity.classes", subject="size")
            )
    judged = sum(row["vms"] for name, row in classes.items() if name != "insufficient_data")
    if judged and not findings and not classes.get("undersized"):
        text = f"None: {count(judged, 'VM')} could be judged, and the size fits the use of every one."
        findings.append(Finding(text, "capacity.classes"))
    return findings


def reclaim(row: dict[str, Any], members: Sequence[dict[str, Any]], adjective: str) -> str:
    """Return what the VMs of one class could give back, and which give most."""
    verb = "is" if row["vms"] == 1 else "are"
    parts = []
    if row["reclaimable_vcpus"]:
        parts.append(quantity(row["reclaimable_vcpus"], "vCPUs"))
    if row["reclaimable_memory_bytes"]:
        parts.append(f"{quantity(row['reclaimable_memory_bytes'], 'bytes')} of memory")
    if row["reclaimable_disk_bytes"]:
        parts.append(f"{quantity(row['reclaimable_disk_bytes'], 'bytes')} of disk")
    names = words.listing([entity(member, size=False) for member in members[:3]], max(0, len(members) - 3))
    start = f"{count(row['vms'], 'VM')} {verb} {adjective}"
    if not parts:
        return f"{start} ({names}); how much could be given back is not known."
    return f"{start}: {words.listing(parts)} could be given back ({names})."


def totals(found: dict[str, Figure]) -> list[Finding]:
    """Return allocated against used for each resource of the tenant's VMs together, and what the nodes have."""
    figure, nodes = found["capacity.totals"], found["capacity.nodes"]
    findings = [
        Finding(node_total(row), nodes.id, entity_kind="node", subject=row["resource"]) for row in nodes.records()
    ]
    for row in figure.records():
        unit, allocated = row["unit"], row["allocated"]
        name = RESOURCES[row["resource"]]
        if row["status"] != "ok" or allocated is None or row["demand_p95"] is None:
            continue
        share = words.percent_of(row["demand_p95"], allocated)
        text = (
            f"{name}: {quantity(allocated, unit)} allocated, {quantity(row['demand_p95'], unit)} "
            f"used ({share}) and {quantity(row['demand_peak'], unit)} at the peak"
        )
        if row["capacity_remaining"] is not None:
            text += f"; {quantity(row['capacity_remaining'], unit)} left"
        findings.append(
            Finding(
                f"{text}; {growth(row)}.",
                figure.id,
                entity_kind="tenant",
                entity_id=row["entity_id"],
                subject=row["resource"],
            )
        )
    return findings


def node_total(row: dict[str, Any]) -> str:
    """Return what all nodes together have of one resource, use and have left."""
    unit = row["unit"]
    text = (
        f"{RESOURCES[row['resource']]}: {quantity(row['physical'], unit)} in {count(row['nodes'], 'node')}, "
        f"{quantity(row['usable'], unit)} usable, {quantity(row['demand_mean'], unit)} used on average "
        f"({words.percent_of(row['demand_mean'], row['physical'])})"
    )
    if row["capacity_remaining"] is not None:
        text += f"; {quantity(row['capacity_remaining'], unit)} left"
    return f"{text}."


def unknowns(found: dict[str, Figure], summary: dict[str, Any]) -> list[Finding]:
    """Return what the report cannot say, and why."""
    figure = found["capacity.unknown"]
    rows = figure.records()
    said = []
    if rows:
        missing = sum(row["resources"] for row in rows)
        verb = "has" if missing == 1 else "have"
        text = f"{missing:,} of {count(summary['resources'], 'resource')} looked at {verb} no answer"
        statuses = Counter[str]()
        for row in rows:
            statuses[row["status"]] += row["resources"]
        parts = [f"{number:,} {status}" for status, number in sorted(statuses.items())]
        said.append(Finding(f"{text}: {words.listing(parts)}.", figure.id))
    for row in rows[:6]:
        who = words.name(row["example"])
        if row["entities"] > 1:
            who = f"{row['entities']:,} {SEVERAL.get(row['entity_kind'], 'VMs')}, such as {who}"
        text = f"{unanswered(row)} of {who}: {words.clause(row['reason'])} ({row['status']})."
        said.append(Finding(text, figure.id))
    if len(rows) > 6:
        said.append(Finding(f"{count(len(rows) - 6, 'more reason')}: see figure {figure.id}.", figure.id))
    for row in found["capacity.classes"].records():
        if row["size_class"] == "insufficient_data":
            text = f"The right size of {count(row['vms'], 'VM')} is not known: {words.clause(row['example_reason'])}."
            said.append(Finding(text, "capacity.classes"))
    if summary["vms"] and not found["capacity.totals"].rows:
        text = "The capacity table has no row for the VMs together, so allocated against used is not shown."
        said.append(Finding(text, "capacity.totals"))
    if not said:
        text = f"Each of {count(summary['resources'], 'resource')} looked at has an answer."
        said.append(Finding(text if summary["resources"] else "Everything: there was nothing to look at.", figure.id))
    return said


def unanswered(row: dict[str, Any]) -> str:
    """Return the resources that share a reason: `CPU, disk and memory`."""
    first, *rest = sorted(row["without_answer"])
    return words.listing([RESOURCES[first], *(name if name == "cpu" else RESOURCES[name].lower() for name in rest)])


def data_used(summary: dict[str, Any]) -> list[str]:
    """Return how far back the capacity table looked and how many samples it had."""
    if not summary["window_days"]:
        return []
    least, most = summary["days_used_least"], summary["days_used_most"]
    span = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    return [
        f"The capacity table looks back {count(summary['window_days'], 'day')} and used {span} of them; on average "
        f"{quantity(summary['coverage_percent'], 'percent')} of the expected samples of a resource were there."
    ]
