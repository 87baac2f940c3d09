"""The PDF of a report: A4, page one answers, then evidence, coverage, and the figures' SQL.

The same report gives the same bytes: reportlab runs in its invariant mode, which keeps the clock
and random ids out of the file.
"""

import html
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from itertools import chain
from typing import Any

from analytics_assets.charts.pdf import chart_flowable
from analytics_assets.reports import rerun, typeface, words
from analytics_assets.reports.document import Answer, Exhibit, Figure, Finding, GridColumn, Report, Section
from analytics_assets.reports.paragraphs import FILL, INK, LINK, MUTED, RULE, TONES, heading, paragraph, styles

AUTHOR = "NovaCron Performance Analytics"
MARGIN = 51.0
WIDTH = 595.28 - 2 * MARGIN
PAGE_HEIGHT = 744.0
LEAST_SHOWN = 3
"""Findings of an answer that page one shows even where it then runs over."""
TABLE_ROWS = 40
"""Rows of a table that are printed; the rest is one query away."""
SQL_WIDTH = 106
"""Characters of the fixed-width font that fit on a line."""


def write(report: Report) -> bytes:
    """Return the report as a PDF file."""
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    typeface.register()

    class NumberedCanvas(Canvas):  # type: ignore[misc]
        """Writes the number of pages, known only at the end, into a form that every page draws."""

        def save(self) -> None:
            self.beginForm("pages")
            self.setFont(typeface.REGULAR, 7.5)
            self.setFillColor(MUTED)
            self.drawString(0, 0, str(self._pageNumber - 1))
            self.endForm()
            super().save()

    class Document(BaseDocTemplate):  # type: ignore[misc]
        """Enters each heading into the outline as it lands on its page."""

        def afterFlowable(self, flowable: Any) -> None:  # noqa: N802 - reportlab's name
            entry = getattr(flowable, "outline", None)
            if entry:
                key, text, level = entry
                self.canv.bookmarkPage(key)
                self.canv.addOutlineEntry(text, key, level, closed=level == 0 and key == "appendix")

    def furniture(canvas: Any, document: Any) -> None:
        page = document.page
        canvas.saveState()
        canvas.setFont(typeface.REGULAR, 7.5)
        canvas.setFillColor(MUTED)
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.5)
        if page > 1:
            canvas.drawString(MARGIN, 808, f"NovaCron \u00b7 {report.title}")
            canvas.drawRightString(595.28 - MARGIN, 808, f"{report.tenant} \u00b7 {report.day.isoformat()}")
            canvas.line(MARGIN, 801, 595.28 - MARGIN, 801)
        canvas.drawString(MARGIN, 28, f"{report.name} \u00b7 as of {report.as_of} UTC")
        right = 595.28 - MARGIN - 12
        canvas.drawRightString(right - 2, 28, f"Page {page} of")
        canvas.translate(right, 28)
        canvas.doForm("pages")
        canvas.restoreState()

    buffer = BytesIO()
    document = Document(
        buffer,
        pagesize=(595.28, 841.89),
        invariant=1,
        lang="en",
        title=report.heading,
        author=AUTHOR,
        subject=f"{report.title}: tenant {report.tenant}, day {report.day.isoformat()} (UTC)",
        creator=AUTHOR,
        keywords=f"{report.tenant} {report.day.isoformat()} {report.name}",
    )
    frame = Frame(MARGIN, 46, WIDTH, PAGE_HEIGHT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    document.addPageTemplates([PageTemplate(frames=[frame], onPage=furniture)])
    document.build(_story(report), canvasmaker=NumberedCanvas)
    return buffer.getvalue()


def _story(report: Report) -> list[Any]:
    from reportlab.platypus import CondPageBreak
    from reportlab.platypus.flowables import DocIf, PageBreak

    anchors = {figure.id: f"figure-{place}" for place, figure in enumerate(report.figures, start=1)}
    story = _answers(report, anchors)
    if any(section.exhibits for section in report.sections):
        # Answers that run over page one do not leave the rest of page two empty.
        story.append(DocIf("doc.page == 1", [PageBreak()]))
    for place, section in enumerate(report.sections):
        story += _section(section, f"section-{place}", anchors)
    story += _section(report.coverage, "coverage", anchors)
    story.append(CondPageBreak(40 + 16 * min(len(report.unknown), 6)))
    story.append(heading("What is not known", "unknown"))
    story += [paragraph(sentence, "bullet") for sentence in report.unknown]
    story += _appendix(report, anchors)
    return story


def _answers(report: Report, anchors: Mapping[str, str]) -> list[Any]:
    """Return page one, with fewer findings of the longest answers where that makes it fit on one page."""
    from reportlab.platypus import KeepTogether

    top = _top(report)
    shown = [min(answer.shown, len(answer.findings)) for answer in report.answers]
    while True:
        blocks = [
            _answer(replace(answer, shown=count), anchors) for answer, count in zip(report.answers, shown, strict=True)
        ]
        fits = _height([*top, *chain(*blocks)]) <= PAGE_HEIGHT
        if fits or max(shown, default=0) <= LEAST_SHOWN:
            return [*top, *(KeepTogether(block) for block in blocks)]
        shown[shown.index(max(shown))] -= 1


def _height(story: list[Any]) -> float:
    """Return the height of flowables one below the other, as the page's frame adds it up."""
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(BytesIO())
    height = after = 0.0
    for place, flowable in enumerate(story):
        height += flowable.wrapOn(canvas, WIDTH, PAGE_HEIGHT)[1]
        if place:
            height += max(after, flowable.getSpaceBefore())
        after = flowable.getSpaceAfter()
    return height


def _reference(figure_id: str, anchors: Mapping[str, str]) -> str:
    shown = html.escape(words.name(figure_id), quote=False)
    return f' <a href="#{anchors[figure_id]}" color="{LINK}"><font size="6.8">{shown}</font></a>'


def _top(report: Report) -> list[Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.platypus import Table

    when = f"{report.tenant} \u00b7 {report.day.isoformat()} \u00b7 as of {report.as_of} (all times are UTC)"
    cells = []
    inside = WIDTH / len(report.headline) - 13  # 6 points of padding on each side, and one to spare
    for item in report.headline:
        tone = TONES[item.severity] if item.severity and item.value != "0" else INK
        # A word cut in two reads as two: a value that is too wide is set smaller.
        size = min(16.0, 16.0 * inside / max(1.0, stringWidth(item.value, typeface.BOLD, 16)))
        shown = f'<font color="{tone}" size="{size:.1f}">{typeface.markup(item.value)}</font>'
        cells.append([paragraph(item.label, "label"), paragraph("", "value", shown), paragraph(item.note, "label")])
    band = Table([cells], colWidths=[WIDTH / len(cells)] * len(cells))
    band.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), HexColor(FILL)),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
            ("LINEBEFORE", (1, 0), (-1, -1), 0.5, HexColor(RULE)),
        ]
    )
    band.spaceAfter = 4
    return [heading(report.title, "top", "title"), paragraph(when, "subtitle"), band]


def _answer(answer: Answer, anchors: Mapping[str, str]) -> list[Any]:
    shown = answer.findings[: answer.shown]
    ranked = any(finding.severity != "notice" for finding in shown)
    body = (
        [_ranked(shown, anchors)]
        if ranked
        else [paragraph(finding.sentence, "bullet", _reference(finding.figure_id, anchors)) for finding in shown]
    )
    if answer.left_out:
        body.append(paragraph(f"{answer.left_out:,} more: see figure {answer.figure_of_rest}.", "small"))
    return [paragraph(answer.question, "question"), *body]


def _ranked(findings: tuple[Finding, ...], anchors: Mapping[str, str]) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table

    rows = []
    for finding in findings:
        tone = TONES[finding.severity]
        left = f'<font size="6.5" color="{tone}"><b>{finding.severity.upper()}</b></font>'
        if finding.days_until is not None:
            when = "now" if finding.days_until <= 0 else words.days(finding.days_until).replace("less than a", "< 1")
            left = f'<font size="10.5" color="{tone}"><b>{html.escape(words.bind(when))}</b></font><br/>{left}'
        rows.append(
            [
                paragraph("", "finding", left),
                paragraph(finding.sentence, "finding", _reference(finding.figure_id, anchors)),
            ]
        )
    table = Table(rows, colWidths=[62, WIDTH - 62])
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (1, 0), (1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 3.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4.5),
            ("LINEBELOW", (0, 0), (-1, -2), 0.4, HexColor(RULE)),
        ]
    )
    return table


def _section(section: Section, key: str, anchors: Mapping[str, str]) -> list[Any]:
    from reportlab.platypus import CondPageBreak

    flowables: list[Any] = [CondPageBreak(170), heading(section.title, key)]
    flowables += [paragraph(sentence) for sentence in section.sentences]
    for exhibit in section.exhibits:
        flowables += _exhibit(exhibit, anchors)
    return flowables


def _exhibit(exhibit: Exhibit, anchors: Mapping[str, str]) -> list[Any]:
    from reportlab.platypus import CondPageBreak, KeepTogether

    figure = exhibit.figure
    head = [paragraph(figure.title, "caption", _reference(figure.id, anchors))]
    if exhibit.text:
        head.append(paragraph(exhibit.text))
    if figure.svg is not None:
        return [KeepTogether([*head, chart_flowable(figure.svg, WIDTH)])]
    if not exhibit.grid or not exhibit.grid[0].cells:
        return [KeepTogether(head)]
    left_out = len(exhibit.grid[0].cells) - TABLE_ROWS
    note = [paragraph(f"{left_out:,} more rows: see figure {figure.id}.", "small")] if left_out > 0 else []
    for line in head:
        line.keepWithNext = 0  # the break below keeps the table's first rows with its caption
    return [CondPageBreak(110), *head, _table(exhibit.grid), *note]


def _table(grid: tuple[GridColumn, ...]) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table

    heads = [paragraph(column.heading, "head_right" if column.numeric else "head") for column in grid]
    count = min(TABLE_ROWS, len(grid[0].cells))
    rows = [[_cell(column.cells[row], column.numeric) for column in grid] for row in range(count)]
    whole = sum(column.weight for column in grid)
    table = Table([heads, *rows], colWidths=[WIDTH * column.weight / whole for column in grid], repeatRows=1)
    style: list[tuple[Any, ...]] = [
        ("FONT", (0, 1), (-1, -1), typeface.REGULAR, 7.8, 9.8),
        ("TEXTCOLOR", (0, 0), (-1, -1), HexColor(INK)),
        ("VALIGN", (0, 1), (-1, -1), "TOP"),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ("TOPPADDING", (0, 0), (-1, -1), 2.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, HexColor(MUTED)),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, HexColor(RULE)),
    ]
    style += [("ALIGN", (place, 1), (place, -1), "RIGHT") for place, column in enumerate(grid) if column.numeric]
    table.setStyle(style)
    table.spaceBefore, table.spaceAfter = 2, 6
    return table


def _cell(text: str, numeric: bool) -> Any:
    # A plain string costs a tenth of a paragraph, but neither wraps nor finds letters outside Helvetica.
    if len(text) <= 12 and typeface.simple(text):
        return words.bind(text)
    return paragraph(text, "cell_right" if numeric else "cell")


def _appendix(report: Report, anchors: Mapping[str, str]) -> list[Any]:
    from reportlab.platypus import PageBreak

    told = (
        "Each figure above is the result of one query. The command under its name runs that query again; "
        "the same stored data give the same rows and the same hash."
    )
    story = [PageBreak(), heading("Appendix: every figure and its query", "appendix"), paragraph(told)]
    for figure in report.figures:
        story += _figure(figure, report.tenant, anchors[figure.id])
    return story


def _figure(figure: Figure, tenant: str, anchor: str) -> list[Any]:
    from reportlab.platypus import CondPageBreak, Preformatted

    lines = rerun.wrap(rerun.command(figure.sql, tenant), SQL_WIDTH)
    title = f'<a name="{anchor}"/><font color="{MUTED}"> \u00b7 {typeface.markup(figure.title)}</font>'
    about = f"{figure.kind}, {words.count(figure.rows, 'row')}"
    if figure.reason:
        about += f"; no data: {words.clause(figure.reason)}"
    name = paragraph(words.name(figure.id), "caption", title)
    name.outline = (f"{anchor}-sql", words.name(figure.id), 1)
    block = typeface.mono("\n".join(lines))
    return [
        CondPageBreak(90 + 9.4 * min(len(lines), 12)),
        name,
        paragraph(about, "small"),
        paragraph(f"sha256 {figure.result_sha256}", "hash"),
        Preformatted(block, styles().sql),
    ]
