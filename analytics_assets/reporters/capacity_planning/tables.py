"""The drawn tables of the capacity planning report."""

from typing import Any

from analytics_assets.reporters.capacity_planning.sentences import RESOURCES, entity, unanswered
from analytics_assets.reports import words
from analytics_assets.reports.document import Exhibit, Figure, grid
from analytics_assets.reports.words import quantity

KINDS = (
    ("vm", "VM"), ("node", "node"), ("tier", "storage tier"), ("cluster", "all nodes"), ("tenant", "all VMs"),
)  # fmt: skip


def exhaustion_table(figure: Figure) -> Exhibit:
    """Return what reaches its usable size within the horizon, soonest first."""

    def left(column: str) -> Any:
        return lambda row: "-" if row[column] is None else "now" if row[column] <= 0 else f"{row[column]:,.0f}"

    text = (
        "Conservative: the day the upper bound of the projection passes the usable size. Used: the 95th percentile of "
        "the last 7 days. A dash: not within the horizon, or no significant growth."
    )
    return Exhibit(
        figure,
        text,
        grid(
            figure,
            (_whose(figure), lambda row: entity(row, size=False), False, 2.6),
            ("Resource", lambda row: RESOURCES[row["resource"]], False, 1.1),
            ("Level", lambda row: row["level"], False, 1.1),
            ("Days left, conservative", left("days_conservative"), True, 1.25),
            ("Days left, expected", left("days_expected"), True, 1.1),
            ("Used", lambda row: quantity(row["demand_p95"], row["unit"]), True, 1.2),
            ("Usable", lambda row: quantity(row["usable"], row["unit"]), True, 1.2),
            ("Growth a day", slope, True, 1.3),
        ),
    )


def classes_table(figure: Figure) -> Exhibit:
    """Return the VMs of each size class and what they could give back."""
    return Exhibit(
        figure,
        "Reclaimable: of an oversized VM what is above its recommended size, of an idle or powered-off one all of it.",
        grid(
            figure,
            ("Size class", lambda row: row["size_class"].replace("_", " "), False, 2),
            ("VMs", lambda row: f"{row['vms']:,}", True, 1),
            ("Reclaimable CPU", lambda row: _amount(row["reclaimable_vcpus"], "vCPUs"), True, 1.5),
            ("Reclaimable memory", lambda row: _amount(row["reclaimable_memory_bytes"], "bytes"), True, 1.5),
            ("Reclaimable disk", lambda row: _amount(row["reclaimable_disk_bytes"], "bytes"), True, 1.5),
        ),
    )


def sizes_table(figure: Figure) -> Exhibit:
    """Return each VM of the wrong size, with size, use, advice and reason."""
    return Exhibit(
        figure,
        "Used: the 95th percentile of the last 7 days. A dash: not known, or nothing to give back.",
        grid(
            figure,
            ("VM", lambda row: entity(row, size=False), False, 1.9),
            ("Class", lambda row: row["size_class"].replace("_", " "), False, 1.1),
            ("vCPUs", lambda row: _plain(row["vcpus"]), True, 0.7),
            ("used", lambda row: _plain(row["vcpus_used"]), True, 0.7),
            ("advised", lambda row: _plain(row["vcpus_recommended"]), True, 0.8),
            ("Memory", lambda row: _amount(row["memory_bytes"], "bytes"), True, 1),
            ("used", lambda row: _amount(row["memory_bytes_used"], "bytes"), True, 1),
            ("advised", lambda row: _amount(row["memory_bytes_recommended"], "bytes"), True, 1),
            ("Why", lambda row: words.clause(row["size_reason"], "-"), False, 2.4),
        ),
    )


def totals_table(figure: Figure) -> Exhibit:
    """Return allocated against used of all VMs together."""

    def shown(column: str) -> Any:
        return lambda row: _amount(row[column], row["unit"])

    return Exhibit(
        figure,
        "Used: the 95th percentile of the last 7 days, of all VMs together. In 30 days: expected, and the upper bound.",
        grid(
            figure,
            ("Resource", lambda row: RESOURCES[row["resource"]], False, 1),
            ("Allocated", shown("allocated"), True, 1),
            ("Mean", shown("demand_mean"), True, 1),
            ("Used", shown("demand_p95"), True, 1),
            ("Peak", shown("demand_peak"), True, 1),
            ("Left", shown("capacity_remaining"), True, 1),
            ("Growth a day", slope, True, 1),
            ("In 30 days", shown("projected_30d"), True, 1),
            ("at most", shown("projected_30d_high"), True, 1),
        ),
    )


def nodes_table(figure: Figure) -> Exhibit:
    """Return what all nodes together have, use and have left."""

    def shown(column: str) -> Any:
        return lambda row: _amount(row[column], row["unit"])

    return Exhibit(
        figure,
        "Sums over the nodes that have an answer.",
        grid(
            figure,
            ("Resource", lambda row: RESOURCES[row["resource"]], False, 1),
            ("Nodes", lambda row: f"{row['nodes']:,}", True, 1),
            ("Size", shown("physical"), True, 1),
            ("Usable", shown("usable"), True, 1),
            ("Mean use", shown("demand_mean"), True, 1),
            ("Left", shown("capacity_remaining"), True, 1),
        ),
    )


def states_table(figure: Figure) -> Exhibit:
    """Return the VMs and their sizes by state."""
    return Exhibit(
        figure,
        "The sizes are those the VM manager gives.",
        grid(
            figure,
            ("State", lambda row: row["state"], False, 2),
            ("VMs", lambda row: f"{row['vms']:,}", True, 1),
            ("vCPUs", lambda row: _plain(row["vcpus"]), True, 1),
            ("Memory", lambda row: _amount(row["memory_bytes"], "bytes"), True, 1),
            ("Disk", lambda row: _amount(row["disk_bytes"], "bytes"), True, 1),
        ),
    )


def use_table(figure: Figure) -> Exhibit:
    """Return every resource with its use and what is left, fullest first."""

    def shown(column: str) -> Any:
        return lambda row: _amount(row[column], row["unit"])

    return Exhibit(
        figure,
        "Used: the 95th percentile of the last 7 days; the percentage is of the physical size.",
        grid(
            figure,
            (_whose(figure), lambda row: entity(row, size=False), False, 2.4),
            ("Resource", lambda row: RESOURCES[row["resource"]], False, 1),
            ("Used, %", lambda row: _plain(row["utilization_percent"]), True, 0.8),
            ("Mean", shown("demand_mean"), True, 1.1),
            ("Used", shown("demand_p95"), True, 1.1),
            ("Peak", shown("demand_peak"), True, 1.1),
            ("Size", shown("physical"), True, 1.1),
            ("Left", shown("capacity_remaining"), True, 1.1),
        ),
    )


def unknown_table(figure: Figure) -> Exhibit:
    """Return the resources without an answer, counted by reason."""
    return Exhibit(
        figure,
        "" if figure.rows else "No resource that was looked at lacks an answer.",
        grid(
            figure,
            ("Resources", unanswered, False, 1.5),
            ("Status", lambda row: row["status"], False, 1.4),
            ("Reason", lambda row: words.clause(row["reason"]), False, 4),
            ("How many", lambda row: f"{row['resources']:,}", True, 0.8),
            ("For example", lambda row: words.name(row["example"]), False, 1.8),
        ),
    )


def _whose(figure: Figure) -> str:
    """Return the heading of the column of entities: what there are among the rows."""
    kinds = {row["entity_kind"] for row in figure.records()}
    return words.capital(words.listing([name for kind, name in KINDS if kind in kinds]).replace(" and ", " or "))


def slope(row: dict[str, Any]) -> str:
    """Return the cell of a growth: a dash where it is not significant."""
    return _amount(row["slope_per_day"], row["unit"]) if row["direction"] in ("rising", "falling") else "-"


def _amount(value: float | None, unit: str) -> str:
    return "-" if value is None else quantity(value, unit)


def _plain(value: float | None) -> str:
    return "-" if value is None else words.number(value)
