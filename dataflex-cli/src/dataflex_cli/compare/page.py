"""The page of a comparison."""

from __future__ import annotations

from dataflex_cli.compare.charts import charts_of
from dataflex_cli.compare.model import Comparison
from dataflex_cli.compare.tables import tables_of
from dataflex_cli.pages.html import rendered


def page_of(data: Comparison) -> str:
    """The comparison as HTML."""
    charts = charts_of(data)
    return rendered(
        "dataflex_cli.compare",
        "compare.html.j2",
        charts,
        data=data,
        drawn=charts,
        tables=tables_of(data),
    )
