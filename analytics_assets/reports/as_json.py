"""The JSON of a report, for programs: the same answers, figures, coverage and unknowns, with raw values."""

import json
from typing import Any

from analytics_assets.reports import rerun
from analytics_assets.reports.document import Figure, Finding, Report
from analytics_assets.reports.figures import plain, plain_table

SCHEMA_VERSION = 1
"""Raised when a field is renamed, removed or changes its meaning; new fields do not raise it."""


def write(report: Report) -> bytes:
    """Return the report as JSON in UTF-8: sorted keys, finite numbers, days and instants as ISO text in UTC."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "report": report.name,
        "title": report.title,
        "tenant": report.tenant,
        "day": report.day.isoformat(),
        "as_of": f"{report.as_of.replace(' ', 'T')}:00+00:00",
        "headline": [
            {"label": item.label, "value": item.value, "note": item.note, "severity": item.severity}
            for item in report.headline
        ],
        "counts": report.counts(),
        "findings": [_finding(finding) for finding in report.findings()],
        "figures": [_figure(figure, report.tenant) for figure in report.figures],
        "coverage": {
            "sentences": list(report.coverage.sentences),
            "figures": [exhibit.figure.id for exhibit in report.coverage.exhibits],
        },
        "unknown": list(report.unknown),
    }
    text = json.dumps(content, allow_nan=False, ensure_ascii=True, indent=1, sort_keys=True)
    return f"{text}\n".encode()


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "sentence": finding.sentence,
        "figure_id": finding.figure_id,
        "severity": finding.severity,
        "days_until": plain(finding.days_until),
        "entity_kind": finding.entity_kind,
        "entity_id": finding.entity_id,
        "subject": finding.subject,
    }


def _figure(figure: Figure, tenant: str) -> dict[str, Any]:
    if figure.kind == "chart":
        data: Any = {"alt": figure.alt, "unit": figure.unit}
    else:
        data = plain_table(figure)
    return {
        "id": figure.id,
        "section": figure.section,
        "kind": figure.kind,
        "title": figure.title,
        "sql": figure.sql,
        "command": rerun.command(figure.sql, tenant),
        "status": figure.status,
        "reason": figure.reason,
        "rows": figure.rows,
        "result_sha256": figure.result_sha256,
        "data": data,
    }
