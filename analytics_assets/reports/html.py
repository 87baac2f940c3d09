"""The HTML of a report: one file that needs nothing else, with no script, for screen, phone and paper."""

import re
from collections.abc import Mapping
from html import escape
from string import Template

from analytics_assets.reports import rerun, words
from analytics_assets.reports.document import Answer, Exhibit, Figure, Finding, GridColumn, Report, Section

TABLE_ROWS = 200
"""Rows of a table that are written; the rest is one query away."""

_ACTIVE = re.compile(
    r"<script|<foreignobject|<iframe|<a[\s>]|\son\w+\s*=|javascript:|<!entity|<!doctype", re.IGNORECASE
)

STYLE = """
:root{--ink:#1b1f24;--muted:#5b6570;--rule:#d5dae0;--fill:#f3f5f7;--link:#1f4e79}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.4rem 0 .1rem}
h2{font-size:1.35rem;margin:2.6rem 0 .5rem;padding-top:.6rem;border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem;overflow-wrap:anywhere}
p{margin:.3rem 0 .6rem;max-width:46rem}
.sub,.small,figcaption,caption span{color:var(--muted);font-size:.88rem}
dl.band{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:1px;margin:1.1rem 0;
  background:var(--rule);border:1px solid var(--rule)}
dl.band div{background:var(--fill);padding:.6rem .8rem}
dl.band dt{color:var(--muted);font-size:.82rem}
dl.band dd{margin:0;font-size:1.55rem;font-weight:650;line-height:1.25}
dl.band dd small{display:block;font-size:.78rem;font-weight:400;color:var(--muted)}
.critical{color:#b3261e}.immediate{color:#b85000}.warning{color:#7a6200}.notice{color:var(--muted)}
ol.ranked,ul.plain{list-style:none;margin:0;padding:0}
ol.ranked li{display:grid;grid-template-columns:6.2rem 1fr;gap:.4rem 1rem;padding:.55rem 0;
  border-bottom:1px solid var(--rule)}
ol.ranked li:last-child{border-bottom:0}
ol.ranked b{display:block;font-size:1.1rem;line-height:1.3}
ol.ranked .tag{font-size:.7rem;font-weight:700;letter-spacing:.04em;text-transform:uppercase}
ul.plain li{padding:.25rem 0}
.sentence{overflow-wrap:anywhere;max-width:50rem}
a{color:var(--link)}
a.ref{font-size:.78rem;text-decoration:none;overflow-wrap:anywhere}
a.ref:hover,a.ref:focus{text-decoration:underline}
.scroll{overflow-x:auto;margin:.4rem 0 1.2rem}
table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:650;font-size:1rem;padding:.3rem 0}
caption span{display:block;font-weight:400}
th,td{text-align:left;vertical-align:top;padding:.28rem .55rem .28rem 0;border-bottom:1px solid var(--rule);
  overflow-wrap:anywhere}
thead th{border-bottom:2px solid var(--muted);vertical-align:bottom}
th.n,td.n{text-align:right;overflow-wrap:normal;white-space:nowrap}
thead th.n{white-space:normal}
tbody th{font-weight:400;min-width:7rem}
figure{margin:1.2rem 0}
figure svg{display:block;width:100%;height:auto}
pre{background:var(--fill);border:1px solid var(--rule);padding:.7rem .8rem;font:.8rem/1.45 ui-monospace,
  SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere;
  margin:.3rem 0 1rem}
.hash{font:.72rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--muted);overflow-wrap:anywhere}
@media (max-width:36rem){main{padding:1rem .9rem 3rem}h1{font-size:1.5rem}ol.ranked li{grid-template-columns:1fr;
  gap:.1rem}ol.ranked b{display:inline;margin-right:.5rem}}
@media print{@page{size:A4;margin:16mm 15mm}body{font-size:10pt}main{max-width:none;padding:0}h2,h3,
  caption{break-after:avoid}figure,tr,ol.ranked li{break-inside:avoid}thead{display:table-header-group}
  .scroll{overflow:visible}a{color:inherit}}
"""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>$heading</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p class="sub">$when</p>
$band
</header>
$body
</main>
</body>
</html>
""")


def write(report: Report) -> bytes:
    """Return the report as one HTML file in UTF-8."""
    anchors = {figure.id: f"figure-{place}" for place, figure in enumerate(report.figures, start=1)}
    parts = [_answer(answer, anchors) for answer in report.answers]
    parts += [_section(section, anchors) for section in (*report.sections, report.coverage)]
    unknown = "".join(f'<li class="sentence">{_text(sentence)}</li>' for sentence in report.unknown)
    parts.append(f'<section><h2>What is not known</h2><ul class="plain">{unknown}</ul></section>')
    parts.append(_appendix(report, anchors))
    page = PAGE.substitute(
        heading=escape(report.heading),
        style=STYLE,
        title=escape(report.title),
        when=_text(f"{report.tenant} \u00b7 {report.day.isoformat()} \u00b7 as of {report.as_of} (all times are UTC)"),
        band=_band(report),
        body="\n".join(parts),
    )
    return page.encode("utf-8", errors="replace")


def _text(text: str) -> str:
    return escape(words.bind(text))


def _band(report: Report) -> str:
    cells = []
    for item in report.headline:
        tone = f' class="{item.severity}"' if item.severity and item.value != "0" else ""
        note = f"<small>{_text(item.note)}</small>" if item.note else ""
        cells.append(f"<div><dt>{_text(item.label)}</dt><dd{tone}>{_text(item.value)}{note}</dd></div>")
    return f'<dl class="band">{"".join(cells)}</dl>'


def _reference(figure_id: str, anchors: Mapping[str, str]) -> str:
    return f'<a class="ref" href="#{anchors[figure_id]}">{escape(words.name(figure_id))}</a>'


def _answer(answer: Answer, anchors: Mapping[str, str]) -> str:
    shown = answer.findings[: answer.shown]
    ranked = any(finding.severity != "notice" for finding in shown)
    items = "".join(_finding(finding, ranked, anchors) for finding in shown)
    tag = 'ol class="ranked"' if ranked else 'ul class="plain"'
    more = ""
    if answer.left_out:
        more = (
            f'<p class="small">{answer.left_out:,} more: see figure {_reference(answer.figure_of_rest, anchors)}.</p>'
        )
    return f"<section><h3>{_text(answer.question)}</h3><{tag}>{items}</{tag[:2]}>{more}</section>"


def _finding(finding: Finding, ranked: bool, anchors: Mapping[str, str]) -> str:
    sentence = f'<span class="sentence">{_text(finding.sentence)} {_reference(finding.figure_id, anchors)}</span>'
    if not ranked:
        return f"<li>{sentence}</li>"
    when = ""
    if finding.days_until is not None:
        left = "now" if finding.days_until <= 0 else words.days(finding.days_until)
        when = f"<b>{_text(left)}</b>"
    tag = f'<span class="tag">{finding.severity}</span>'
    return f'<li><span class="{finding.severity}">{when}{tag}</span>{sentence}</li>'


def _section(section: Section, anchors: Mapping[str, str]) -> str:
    sentences = "".join(f"<p>{_text(sentence)}</p>" for sentence in section.sentences)
    exhibits = "".join(_exhibit(exhibit, anchors) for exhibit in section.exhibits)
    return f"<section><h2>{_text(section.title)}</h2>{sentences}{exhibits}</section>"


def _exhibit(exhibit: Exhibit, anchors: Mapping[str, str]) -> str:
    figure, reference = exhibit.figure, _reference(exhibit.figure.id, anchors)
    if figure.svg is not None:
        return f"<figure>{drawing(figure)}<figcaption>{_text(exhibit.text)} {reference}</figcaption></figure>"
    if not exhibit.grid or not exhibit.grid[0].cells:
        return f"<h3>{_text(figure.title)}</h3><p>{_text(exhibit.text)} {reference}</p>"
    return _table(exhibit, reference)


def drawing(figure: Figure) -> str:
    """Return a chart's SVG as it may stand in the page, or its text alternative if it holds anything active.

    The page's content policy already stops scripts; a drawing that carries one was not made here.
    """
    start = (figure.svg or "").find("<svg")
    svg = (figure.svg or "")[start:] if start >= 0 else ""
    if not svg or _ACTIVE.search(svg):
        return f"<p>{_text(figure.alt)}</p>"
    return svg


def _table(exhibit: Exhibit, reference: str) -> str:
    grid, figure = exhibit.grid, exhibit.figure
    heads = "".join(f'<th scope="col"{_class(column)}>{_text(column.heading)}</th>' for column in grid)
    total = len(grid[0].cells)
    rows = []
    for row in range(min(TABLE_ROWS, total)):
        first = f'<th scope="row"{_class(grid[0])}>{_text(grid[0].cells[row])}</th>'
        rest = "".join(f"<td{_class(column)}>{_text(column.cells[row])}</td>" for column in grid[1:])
        rows.append(f"<tr>{first}{rest}</tr>")
    more = ""
    if total > TABLE_ROWS:
        more = f'<p class="small">{total - TABLE_ROWS:,} more rows: see figure {reference}.</p>'
    caption = f"<caption>{_text(figure.title)} {reference}<span>{_text(exhibit.text)}</span></caption>"
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{more}"
    )


def _class(column: GridColumn) -> str:
    return ' class="n"' if column.numeric else ""


def _appendix(report: Report, anchors: Mapping[str, str]) -> str:
    items = []
    for figure in report.figures:
        about = f"{figure.kind}, {words.count(figure.rows, 'row')}"
        if figure.reason:
            about += f"; no data: {words.clause(figure.reason)}"
        items.append(
            f'<section><h3 id="{anchors[figure.id]}">{escape(words.name(figure.id))} '
            f'<span class="sub">{_text(figure.title)}</span></h3>'
            f'<p class="small">{_text(about)}</p><p class="hash">sha256 {escape(figure.result_sha256)}</p>'
            f"<pre>{escape(rerun.command(figure.sql, report.tenant))}</pre></section>"
        )
    told = (
        "Each figure above is the result of one query. The command under its name runs that query again; "
        "the same stored data give the same rows and the same hash."
    )
    return f"<section><h2>Appendix: every figure and its query</h2><p>{told}</p>{''.join(items)}</section>"
