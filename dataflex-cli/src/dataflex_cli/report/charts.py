"""The charts of a report, in the order of its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dataflex_cli.pages.figures import Chart
from dataflex_cli.report.again_charts import again_charts
from dataflex_cli.report.choice_charts import choice_charts
from dataflex_cli.report.course_charts import course_charts, work_charts
from dataflex_cli.report.model import ReportData

_GROUPS: tuple[tuple[str, str, Callable[[ReportData], list[Chart | None]]], ...] = (
    ("course", "The course of the run", course_charts),
    ("choice", "What was chosen", choice_charts),
    ("again", "Again and again", again_charts),
)


def charts_of(data: ReportData) -> list[Chart]:
    """Those of which there is anything to show."""
    return [*compared_of(data), *(chart for _, _, charts in groups_of(data) for chart in charts)]


def groups_of(data: ReportData) -> list[tuple[str, str, list[Chart]]]:
    """Parts of the page of which there is anything to show: a name, a title, and charts."""
    found = [(key, title, _shown(made(data))) for key, title, made in _GROUPS]
    return [(key, title, charts) for key, title, charts in found if charts]


def compared_of(data: ReportData) -> list[Chart]:
    """Those that hold the run against others."""
    return _shown(work_charts(data))


def _shown(made: Iterable[Chart | None]) -> list[Chart]:
    return [chart for chart in made if chart is not None and (chart.data or chart.frames)]
