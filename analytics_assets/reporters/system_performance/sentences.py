"""The sentences of the system performance report, each built from one figure's rows."""

from collections.abc import Sequence
from typing import Any

from analytics_assets.reports import words
from analytics_assets.reports.document import SEVERITIES, Figure, Finding, Headline, Severity

METRICS = {
    "cpu_percent": "CPU",
    "cpu_cores": "CPU in cores",
    "memory_bytes": "Memory",
    "disk_bytes": "Disk",
    "disk_read_bytes_per_second": "Disk reading",
    "disk_write_bytes_per_second": "Disk writing",
    "network_receive_bytes_per_second": "Network receiving",
    "network_transmit_bytes_per_second": "Network sending",
    "load_average_1m": "Load average",
}
LEVELS: tuple[tuple[float, Severity], ...] = ((30, "critical"), (60, "immediate"), (120, "warning"))
"""Days left below which a finding is of that severity, as the capacity analyzer has them."""


def metric(row: dict[str, Any]) -> str:
    """Return how a sentence names the metric of a row."""
    return METRICS.get(row["metric"], words.capital(row["metric"].replace("_", " ")))


def entity(row: dict[str, Any], tenant_scope: bool, limit: bool = False) -> str:
    """Return how a sentence names an entity: `vm-7 (8 GiB)`, `node n1`; in a tenant's report `your VMs on node n1`."""
    shown = words.name(row["entity_id"])
    if row["entity_kind"] == "node":
        shown = node(row["entity_id"], tenant_scope)
    if limit and row["metric"] != "cpu_percent" and row["most"] is not None:
        return f"{shown} ({words.quantity(row['most'], row['unit'])})"
    return shown


def node(node_id: str, tenant_scope: bool) -> str:
    """Return how a sentence names a node: in a tenant's report only its own VMs there are meant."""
    return f"your VMs on {words.node(node_id)}" if tenant_scope else words.node(node_id)


def headline(found: dict[str, Figure], pressing: Sequence[Finding]) -> tuple[Headline, ...]:
    """Return the band on top: how much was looked at, how loaded it is, and how much presses."""
    nodes, trends = found["performance.nodes"].record(), found["performance.answers"].record()
    vms = words.count(trends["vms"], "VM") if trends["vms"] else ""
    cpu = words.quantity(nodes["cpu_percent"], "percent")
    band = [
        Headline("Nodes", f"{nodes['nodes']:,}", f"and {vms} with trends" if vms else ""),
        Headline("CPU in use", cpu, "of all, mean of the day"),
        Headline("Coverage", share(nodes["samples_seen"], nodes["samples_expected"]), "of the day's samples"),
    ]
    counts = {level: sum(finding.severity == level for finding in pressing) for level in SEVERITIES[:3]}
    return (*band, *(Headline(words.capital(level), f"{counts[level]:,}", "findings", level) for level in counts))


def share(seen: int | None, expected: int | None) -> str:
    """Return samples seen of those expected, as a percentage."""
    return words.percent_of(seen, expected) if expected else "unknown"


def pressing(found: dict[str, Figure], tenant_scope: bool, busy: tuple[float, int], horizon_days: int) -> list[Finding]:
    """Return what is wrong or will be, by days until it hurts, or the sentence that says what was looked at.

    `busy` is the CPU use, in percent, and the minutes of it that the figures were asked for.
    """
    saturated = [
        Finding(
            saturation(row, tenant_scope, busy[0]), "performance.saturated", "critical", 0.0, "node", row["node_id"],
            "cpu_percent",
        )
        for row in found["performance.saturated"].records()
    ]  # fmt: skip
    if "performance.busy_vms" in found:
        saturated += [
            Finding(
                at_its_limit(row), "performance.busy_vms", "critical", 0.0, "vm", row["entity_id"], "cpu_percent"
            )
            for row in found["performance.busy_vms"].records()
        ]  # fmt: skip
    listed = {(finding.entity_kind, finding.entity_id, finding.subject) for finding in saturated}
    later: list[Finding] = []
    for row in found["performance.limits"].records():
        left = 0.0 if row["near_limit"] else float(row["days_conservative"])
        if row["near_limit"] and (row["entity_kind"], row["entity_id"], row["metric"]) in listed:
            continue
        severity: Severity = next((level for below, level in LEVELS if left < below), "notice")
        later.append(
            Finding(
                reaching(row, tenant_scope, horizon_days), "performance.limits", severity, left, row["entity_kind"],
                row["entity_id"], row["metric"],
            )
        )  # fmt: skip
    ranked = sorted([*saturated, *later], key=lambda finding: finding.days_until or 0.0)
    return ranked or [nothing_wrong(found, tenant_scope, busy, horizon_days)]


def nothing_wrong(found: dict[str, Figure], tenant_scope: bool, busy: tuple[float, int], horizon_days: int) -> Finding:
    """Return the sentence that says that nothing presses, and what was looked at."""
    nodes, trends = found["performance.nodes"].record(), found["performance.answers"].record()
    if not nodes["nodes"] and not trends["trends"]:
        return Finding("No answer: no node and no VM has a sample on this day or a trend.", "performance.nodes")
    if not trends["answered"]:
        text = "No answer about what will be: "
        text += "there is no trend to look at" if not trends["trends"] else (
            f"not one of the {words.count(trends['trends'], 'trend')} looked at has enough data"
        )  # fmt: skip
        return Finding(f"{text}. {_not_busy(nodes['nodes'], tenant_scope, busy)}", "performance.answers")
    text = (
        f"Nothing presses: of {words.count(trends['with_limit'], 'trend')} with a known limit none reaches it within "
        f"{words.count(horizon_days, 'day')}. {_not_busy(nodes['nodes'], tenant_scope, busy)}"
    )
    return Finding(text, "performance.answers")


def _not_busy(nodes: int, tenant_scope: bool, busy: tuple[float, int]) -> str:
    if not nodes:
        return "No node has a sample on this day."
    had = "had your VMs' CPU" if tenant_scope else "had its CPU"
    return (
        f"Of {words.count(nodes, 'node')}, none {had} at {words.quantity(busy[0], 'percent')} or more for over "
        f"{words.count(busy[1], 'minute')} of the day."
    )


def saturation(row: dict[str, Any], tenant_scope: bool, busy_percent: float) -> str:
    """Return the sentence of a node that was busy for long."""
    of = f" of {'their' if tenant_scope else 'its'} {cpus(row['cpus'], tenant_scope)}" if row["cpus"] else ""
    return (
        f"CPU of {node(row['node_id'], tenant_scope)} was at {words.quantity(busy_percent, 'percent')} or more{of} for "
        f"{words.count(row['minutes'], 'minute')} of the day, between {words.clock(row['first_at'])} and "
        f"{words.clock(row['last_at'])}; highest {words.quantity(row['cpu_percent_highest'], 'percent')}."
    )


def cpus(value: float, tenant_scope: bool) -> str:
    """Return a number of CPUs: a tenant has vCPUs."""
    return words.quantity(value, "vCPUs") if tenant_scope else words.count(round(value), "CPU")


def at_its_limit(row: dict[str, Any]) -> str:
    """Return the sentence of a VM whose CPU is used up in its busy hours."""
    used = words.used_of(row["demand_p95"], row["physical"], row["unit"])
    return (
        f"CPU of {words.name(row['entity_id'])} is close to its limit in its busiest hours: {used} used at the 95th "
        f"percentile of the last 7 days ({words.quantity(row['utilization_percent'], 'percent')})."
    )


def reaching(row: dict[str, Any], tenant_scope: bool, horizon_days: int) -> str:
    """Return the sentence of a metric that is full, or rises to its limit: when, how full, how fast."""
    use = words.used_of(row["level"], row["most"], row["unit"])
    if row["metric"] == "cpu_percent":
        use = words.quantity(row["level"], "percent")
    start = f"{metric(row)} of {entity(row, tenant_scope, limit=True)}"
    rises = row["direction"] == "rising"
    if row["near_limit"] and not rises:
        return f"{start} is close to its limit now: {use} in use, not rising."
    conservative, expected = row["days_conservative"], row["days_expected"]
    beside = f"expected: not within {words.count(horizon_days, 'day')}"
    if expected <= horizon_days:
        beside = "expected the same" if int(expected) == int(conservative) else f"expected {int(expected):,}"
    when = f"reaches its limit in {words.days(conservative)} ({beside})"
    if row["near_limit"]:
        when = f"is close to its limit now and {when}"
    return f"{start} {when}: {use} in use, {moving(row)}."


def moving(row: dict[str, Any]) -> str:
    """Return how a metric moves: `rising 0.59 points a day (95 % interval 0.587 to 0.596) over 28 days`."""
    low, high = row["slope_low_per_day"], row["slope_high_per_day"]
    if row["slope_per_day"] < 0:
        low, high = high, low
    between = interval(abs(low) if low * row["slope_per_day"] > 0 else -abs(low), abs(high), row["unit"])
    return (
        f"{row['direction']} {rate(abs(row['slope_per_day']), row['unit'])} a day"
        f"{f' (95 % interval {between})' if between else ''} over {words.count(row['days_used'], 'day')}"
    )


def rate(value: float, unit: str) -> str:
    """Return a change of a metric: one in percent moves by points."""
    if unit == "percent":
        return "1 point" if words.number(value) == "1" else f"{words.number(value)} points"
    return words.quantity(value, unit)


def interval(low: float, high: float, unit: str) -> str:
    """Return `0.587 to 0.596`, both units where they differ, nothing where both ends read the same."""
    first, last = rate(low, unit), rate(high, unit)
    if first == last:
        return ""
    first_unit, last_unit = first.partition(" ")[2], last.partition(" ")[2]
    if unit == "percent" or not last_unit:
        return f"{words.number(low)} to {words.number(high)}"
    return f"{first.partition(' ')[0]} to {last}" if first_unit == last_unit else f"{first} to {last}"


def loads(found: dict[str, Figure], tenant_scope: bool) -> list[Finding]:
    """Return how loaded each node is, busiest first."""
    figure = found["performance.load"]
    findings = [
        Finding(
            loaded(row, tenant_scope), figure.id, entity_kind="node", entity_id=row["node_id"], subject="cpu_percent"
        )
        for row in figure.records()
    ]
    return findings or [Finding("No node has a sample on this day, so no load is known.", figure.id)]


def loaded(row: dict[str, Any], tenant_scope: bool) -> str:
    """Return the sentence of one node's load."""
    who = node(row["node_id"], tenant_scope)
    text = f"CPU of {who}: not known"
    if row["cpu_percent_mean"] is not None:
        whole = f" of {cpus(row['cpus'], tenant_scope)}" if row["cpus"] else ""
        text = (
            f"CPU of {who}: {words.quantity(row['cpu_percent_mean'], 'percent')}{whole} on average, 95th percentile "
            f"{words.quantity(row['cpu_percent_p95'], 'percent')}, peak "
            f"{words.quantity(row['cpu_percent_peak'], 'percent')} at {words.clock(row['cpu_peak_at'])}"
        )
    if row["memory_bytes_mean"] is not None:
        used = words.quantity(row["memory_bytes_mean"], "bytes")
        if row["memory_bytes_total"]:
            used = words.used_of(row["memory_bytes_mean"], row["memory_bytes_total"], "bytes")
        text += f"; memory {used}"
    return f"{text}."


def changes(
    found: dict[str, Figure],
    tenant_scope: bool,
    listed: set[tuple[str | None, str | None, str | None]],
    least_percent: float,
) -> list[Finding]:
    """Return what rises, falls or jumped, largest first, without what is `listed` already or too small to matter."""
    figure = found["performance.changes"]
    findings, small, named = [], 0, 0
    for row in figure.records():
        if (row["entity_kind"], row["entity_id"], row["metric"]) in listed:
            named += 1
        elif row["direction"] in ("rising", "falling") and (row["change_percent"] or 0.0) < least_percent:
            small += 1
        else:
            findings.append(
                Finding(
                    change(row, tenant_scope), figure.id, entity_kind=row["entity_kind"], entity_id=row["entity_id"],
                    subject=row["metric"],
                )
            )  # fmt: skip
    said = []
    if named:
        said.append(f"{words.count(named, 'change')} {'is' if named == 1 else 'are'} named above already")
    if small:
        said.append(
            f"{words.count(small, 'change')} {'is' if small == 1 else 'are'} significant but under "
            f"{words.quantity(least_percent, 'percent')} of the limit or of the largest level"
        )
    trends = found["performance.answers"].record()
    if said:
        nothing = "" if findings else "Nothing else rises or falls: "
        text = words.capital(f"{nothing}{words.listing(said)}.")
        findings.append(Finding(text, figure.id))
    elif not findings and trends["answered"]:
        text = f"Nothing: of {words.count(trends['answered'], 'trend')}, none rises, falls or jumps significantly."
        findings.append(Finding(text, "performance.answers"))
    return findings


def change(row: dict[str, Any], tenant_scope: bool) -> str:
    """Return the sentence of one metric that rises, falls or jumped."""
    start = f"{metric(row)} of {entity(row, tenant_scope, limit=True)}"
    now = words.quantity(row["level"], row["unit"])
    if row["direction"] not in ("rising", "falling"):
        return f"{start} {jumps(row)}, and shows no trend; now {now}."
    change = row["change_over_window"]
    text = f"{start} is {moving(row)}: {'+' if change > 0 else '-'}{rate(abs(change), row['unit'])}, now {now}"
    if row["change_point_day"] is not None:
        text += f"; it {jumps(row)}"
    return f"{text}."


def jumps(row: dict[str, Any]) -> str:
    """Return when a metric jumped: once, or how often and most of all."""
    day, times = row["change_point_day"].isoformat(), row["change_point_count"]
    return f"jumped once, on {day}" if times == 1 else f"jumped {times} times, most of all on {day}"


def unknowns(found: dict[str, Figure], tenant_scope: bool) -> list[Finding]:
    """Return what the report cannot say, and why."""
    trends, figure = found["performance.answers"].record(), found["performance.unknown"]
    said = []
    missing = trends["trends"] - trends["answered"]
    if missing:
        verb = "has" if missing == 1 else "have"
        text = f"{missing:,} of {words.count(trends['trends'], 'trend')} looked at {verb} no answer."
        said.append(Finding(text, "performance.answers"))
    rows = figure.records()
    for row in rows[:6]:
        who = entity({**row, "entity_id": row["example"], "metric": "", "most": None}, tenant_scope)
        if row["entities"] > 1:
            many = "nodes" if row["entity_kind"] == "node" else "VMs"
            who = f"{row['entities']:,} {many}, such as {words.name(row['example'])}"
        status = "" if row["status"] == "ok" else f" ({row['status']})"
        text = f"{words.count(row['trends'], 'trend')} of {who}: {words.clause(row['reason'])}{status}."
        said.append(Finding(text, figure.id))
    if len(rows) > 6:
        said.append(Finding(f"{words.count(len(rows) - 6, 'more reason')}: see figure {figure.id}.", figure.id))
    if trends["without_limit"]:
        one = trends["without_limit"] == 1
        text = (
            f"{words.count(trends['without_limit'], 'rising memory or disk trend')} {'has' if one else 'have'} no "
            "known size, so no day on which it fills up can be given."
        )
        said.append(Finding(text, "performance.answers"))
    said += [
        Finding(
            f"Load of {node(row['node_id'], tenant_scope)}: samples in {row['buckets']:,} of the "
            f"{row['buckets_of_day']:,} intervals of the day.",
            "performance.load", entity_kind="node", entity_id=row["node_id"],
        )
        for row in found["performance.load"].records()
        if row["buckets"] < 0.9 * row["buckets_of_day"]
    ]  # fmt: skip
    if not said:
        text = f"Each of {words.count(trends['trends'], 'trend')} looked at has an answer."
        said.append(Finding(text if trends["trends"] else "Everything: there was nothing to look at.", figure.id))
    return said


def data_used(found: dict[str, Figure]) -> list[str]:
    """Return how far back the trends look and how many samples they had."""
    trends = found["performance.answers"].record()
    if not trends["window_days"]:
        return ["No trend was stored for this day."]
    return [
        f"The trends look back up to {words.count(trends['window_days'], 'day')}; on average "
        f"{words.quantity(trends['coverage_percent'], 'percent')} of the expected samples of a metric were there."
    ]
