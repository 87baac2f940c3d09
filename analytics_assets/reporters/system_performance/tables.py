"""The drawn tables of the system performance report."""

from typing import Any

from analytics_assets.reporters.system_performance.sentences import entity, metric, rate
from analytics_assets.reports import words
from analytics_assets.reports.document import Exhibit, Figure, grid


def limits_table(figure: Figure, tenant_scope: bool) -> Exhibit:
    """Return what is full or rises to its limit."""

    def left(column: str) -> Any:
        return lambda row: "-" if row[column] is None else f"{int(row[column]):,}"

    text = (
        "Level: the median of the last 7 daily means. Days left: (limit - level) / slope, conservative with the upper "
        "end of the slope's 95 % interval. A dash: not rising."
    )
    return Exhibit(
        figure,
        text,
        grid(
            figure,
            ("VM or node", lambda row: entity(row, tenant_scope), False, 2.6),
            ("Metric", metric, False, 1.1),
            ("Days left, conservative", left("days_conservative"), True, 1.25),
            ("Days left, expected", left("days_expected"), True, 1.1),
            ("Level", lambda row: words.quantity(row["level"], row["unit"]), True, 1.1),
            ("Limit", lambda row: words.quantity(row["most"], row["unit"]), True, 1.1),
            ("Slope a day", slope, True, 1.2),
        ),
    )


def saturated_table(figure: Figure, tenant_scope: bool) -> Exhibit:
    """Return the nodes that were busy for long."""
    return Exhibit(
        figure,
        "The minutes are those of all busy intervals together; they need not follow each other.",
        grid(
            figure,
            ("Node", lambda row: words.name(row["node_id"]), False, 2.6),
            ("vCPUs of your VMs" if tenant_scope else "CPUs", lambda row: _plain(row["cpus"]), True, 1),
            ("Minutes", lambda row: f"{row['minutes']:,}", True, 1),
            ("First", lambda row: words.clock(row["first_at"]), True, 1),
            ("Last", lambda row: words.clock(row["last_at"]), True, 1),
            ("Highest, %", lambda row: _plain(row["cpu_percent_highest"]), True, 1),
        ),
    )


def busy_vms_table(figure: Figure, _tenant_scope: bool) -> Exhibit:
    """Return the VMs whose CPU is used up in their busiest hours."""
    return Exhibit(
        figure,
        "Used: the 95th percentile of the last 7 days' hourly 95th percentiles.",
        grid(
            figure,
            ("VM", lambda row: words.name(row["entity_id"]), False, 3),
            ("Used", lambda row: words.quantity(row["demand_p95"], row["unit"]), True, 1),
            ("Size", lambda row: words.quantity(row["physical"], row["unit"]), True, 1),
            ("Used, %", lambda row: _plain(row["utilization_percent"]), True, 1),
        ),
    )


def load_table(figure: Figure, tenant_scope: bool) -> Exhibit:
    """Return the load of each node, busiest first."""

    def amount(column: str) -> Any:
        return lambda row: "-" if row[column] is None else words.quantity(row[column], "bytes")

    text = (
        "Only what your own VMs put on each node; percentages are of the vCPUs they have there. A peak adds up the "
        "VMs' highest values, which need not have met."
        if tenant_scope
        else "Percentages are of the node's CPUs."
    )
    extra = (
        ("VMs", lambda row: _plain(row["vms"]), True, 0.7)
        if tenant_scope
        else ("Load average", lambda row: _plain(row["load_average_1m_mean"]), True, 0.9)
    )
    return Exhibit(
        figure,
        text,
        grid(
            figure,
            ("Node", lambda row: words.name(row["node_id"]), False, 2),
            ("vCPUs" if tenant_scope else "CPUs", lambda row: _plain(row["cpus"]), True, 0.7),
            ("CPU mean, %", lambda row: _plain(row["cpu_percent_mean"]), True, 0.9),
            ("95th perc., %", lambda row: _plain(row["cpu_percent_p95"]), True, 0.9),
            ("Peak, %", lambda row: _plain(row["cpu_percent_peak"]), True, 0.8),
            ("at", lambda row: words.clock(row["cpu_peak_at"]), True, 0.7),
            ("Memory mean", amount("memory_bytes_mean"), True, 1),
            ("Peak", amount("memory_bytes_peak"), True, 1),
            ("of", amount("memory_bytes_total"), True, 1),
            extra,
        ),
    )


def changes_table(figure: Figure, tenant_scope: bool) -> Exhibit:
    """Return what rises, falls or jumped."""

    def slopes(column: str) -> Any:
        return lambda row: "-" if row["direction"] not in ("rising", "falling") else signed(row[column], row["unit"])

    text = (
        "Share: the change over the window in percent of the limit or, where there is none, of the largest level of "
        "that metric. Low and high: the 95 % interval of the slope. A dash: no significant trend."
    )
    return Exhibit(
        figure,
        text,
        grid(
            figure,
            ("VM or node", lambda row: entity(row, tenant_scope), False, 2.1),
            ("Metric", metric, False, 1.2),
            ("Level", lambda row: words.quantity(row["level"], row["unit"]), True, 1),
            ("Change", slopes("change_over_window"), True, 1.1),
            ("Share, %", _share, True, 0.7),
            ("Slope a day", slopes("slope_per_day"), True, 1.2),
            ("low", slopes("slope_low_per_day"), True, 1.2),
            ("high", slopes("slope_high_per_day"), True, 1.2),
            ("Jump", lambda row: row["change_point_day"].isoformat() if row["change_point_day"] else "-", True, 1.1),
        ),
    )


def slope(row: dict[str, Any]) -> str:
    """Return the cell of a slope: a dash where it is not significant."""
    return signed(row["slope_per_day"], row["unit"]) if row["direction"] in ("rising", "falling") else "-"


def signed(value: float, unit: str) -> str:
    """Return a change with its sign."""
    return f"{'-' if value < 0 else '+'}{rate(abs(value), unit)}"


def unknown_table(figure: Figure) -> Exhibit:
    """Return the trends without a whole answer, counted by reason."""
    return Exhibit(
        figure,
        "" if figure.rows else "No trend that was looked at lacks a part of its answer.",
        grid(
            figure,
            ("Status", lambda row: row["status"], False, 1.3),
            ("Reason", lambda row: words.clause(row["reason"]), False, 3.4),
            ("Trends", lambda row: f"{row['trends']:,}", True, 0.7),
            ("Entities", lambda row: f"{row['entities']:,}", True, 0.7),
            ("For example", lambda row: words.name(row["example"]), False, 1.6),
            ("Metrics", lambda row: row["metrics"], False, 2.4),
        ),
    )


def _share(row: dict[str, Any]) -> str:
    return _plain(row["change_percent"]) if row["direction"] in ("rising", "falling") else "-"


def _plain(value: float | None) -> str:
    return "-" if value is None else words.number(value)
