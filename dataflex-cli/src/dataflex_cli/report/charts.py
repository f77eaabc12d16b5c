"""The charts of a report, in the order of its page."""

from __future__ import annotations

from dataflex_cli.pages.figures import Chart
from dataflex_cli.report.again_charts import again_charts
from dataflex_cli.report.choice_charts import choice_charts
from dataflex_cli.report.course_charts import course_charts
from dataflex_cli.report.model import ReportData


def charts_of(data: ReportData) -> list[Chart]:
    """Those of which there is anything to show."""
    made = [*course_charts(data), *choice_charts(data), *again_charts(data)]
    return [chart for chart in made if chart is not None and (chart.data or chart.frames)]
