"""What a visualizer returns: its charts as rows, the first drawn one as the preview, and how many there are."""

from collections.abc import Sequence

from analytics_assets.charts.table import Chart, chart_rows
from analytics_assets.charts.thumbnail import thumbnail
from analytics_assets.components import Result, Workplace


def charts_result(workplace: Workplace, charts: Sequence[Chart]) -> Result:
    """Return `charts` as the result of a visualizer that reads its values under the role `samples`."""
    drawn = [chart.svg for chart in charts if chart.svg is not None]
    return Result(
        chart_rows(charts),
        workplace.facts(as_of_ms=workplace.as_of_ms("samples")),
        preview_svg=thumbnail(drawn[0]) if drawn else None,
        numbers={"charts": len(drawn), "charts_without_data": len(charts) - len(drawn)},
    )
