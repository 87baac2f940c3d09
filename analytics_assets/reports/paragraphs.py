"""The paragraphs of the PDF: their styles and colours."""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from analytics_assets.reports import typeface

INK, MUTED, RULE, FILL, LINK = "#1b1f24", "#5b6570", "#d5dae0", "#f3f5f7", "#1f4e79"
TONES: Mapping[str, str] = {"critical": "#b3261e", "immediate": "#b85000", "warning": "#7a6200", "notice": MUTED}
"""A finding's colour by its severity."""


@cache
def styles() -> Any:
    """Return the paragraph styles by name."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.enums import TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    base = ParagraphStyle(
        "body",
        fontName=typeface.REGULAR,
        fontSize=9,
        leading=12.6,
        textColor=HexColor(INK),
        allowWidows=0,
        allowOrphans=0,
        spaceAfter=4,
    )

    def style(name: str, **changes: Any) -> Any:
        return ParagraphStyle(name, parent=base, **changes)

    bold = {"fontName": typeface.BOLD}
    muted = {"textColor": HexColor(MUTED)}
    return SimpleNamespace(
        body=base,
        title=style("title", fontSize=20, leading=24, spaceAfter=1, **bold),
        subtitle=style("subtitle", fontSize=9.5, leading=13, spaceAfter=9, **muted),
        heading=style("heading", fontSize=13.5, leading=17, spaceBefore=12, spaceAfter=5, keepWithNext=1, **bold),
        question=style("question", fontSize=11, leading=14, spaceBefore=9, spaceAfter=3, keepWithNext=1, **bold),
        caption=style("caption", leading=12, spaceBefore=7, spaceAfter=2, keepWithNext=1, **bold),
        bullet=style("bullet", leftIndent=10, bulletIndent=0, spaceAfter=3),
        finding=style("finding", spaceAfter=0),
        label=style("label", fontSize=7.5, leading=9.5, spaceAfter=0, **muted),
        value=style("value", fontSize=16, leading=19, spaceAfter=0, **bold),
        cell=style("cell", fontSize=7.8, leading=9.8, spaceAfter=0),
        cell_right=style("cell_right", fontSize=7.8, leading=9.8, spaceAfter=0, alignment=TA_RIGHT),
        head=style("head", fontSize=7.5, leading=9.2, spaceAfter=0, **bold),
        head_right=style("head_right", fontSize=7.5, leading=9.2, spaceAfter=0, alignment=TA_RIGHT, **bold),
        small=style("small", fontSize=7.5, leading=9.8, spaceAfter=2, **muted),
        hash=style("hash", fontName=typeface.MONO, fontSize=6.3, leading=8.4, spaceAfter=4, **muted),
        sql=style(
            "sql",
            fontName=typeface.MONO,
            fontSize=7.3,
            leading=9.4,
            backColor=HexColor(FILL),
            borderPadding=(5, 6, 5, 6),
            leftIndent=6,
            rightIndent=6,
            spaceBefore=4,
            spaceAfter=13,
        ),
    )


def paragraph(text: str, style: str = "body", more: str = "") -> Any:
    """Return a paragraph of plain `text`; `more` is markup that follows it."""
    from reportlab.platypus import Paragraph

    bullet = "\u2022" if style == "bullet" else None
    return Paragraph(typeface.markup(text) + more, getattr(styles(), style), bulletText=bullet)


def heading(text: str, key: str, style: str = "heading", level: int = 0) -> Any:
    """Return a heading that enters the outline under `key`."""
    made = paragraph(text, style)
    made.outline = (key, text, level)
    return made
