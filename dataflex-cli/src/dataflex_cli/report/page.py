"""The page of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dataflex_cli.pages.html import rendered, script_json
from dataflex_cli.report.charts import charts_of, compared_of, groups_of
from dataflex_cli.report.model import ReportData
from dataflex_cli.report.tiles import tiles_of


def page_of(data: ReportData) -> str:
    """The report as HTML. Texts of samples stand in it as data, never as markup."""
    return rendered(
        "dataflex_cli.report",
        "report.html.j2",
        charts_of(data),
        script="report.js",
        data=data,
        tiles=tiles_of(data),
        groups=groups_of(data),
        compared=compared_of(data),
        domains=_domains(data),
        rows=script_json(_values(data)),
        provenance=_listed(data.provenance),
    )


def _values(data: ReportData) -> dict[str, Any]:
    """What the page's own script draws tables from."""
    return {
        "samples": _rows(data),
        "targets": [asdict(target) for target in data.targets],
        "weighed": [asdict(one) for one in data.weighed],
    }


def _rows(data: ReportData) -> list[dict[str, Any]]:
    """The samples, each text once."""
    texts: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    for sample in data.samples:
        row = asdict(sample)
        if sample.sample in texts:
            row["same"] = texts[sample.sample]
            del row["pieces"]
        else:
            texts[sample.sample] = len(rows)
        rows.append(row)
    return rows


def _domains(data: ReportData) -> list[dict[str, Any]]:
    """A row a domain: its size, shares wanted and realised, and how often its samples were seen."""
    decided = [one for one in data.decisions if one.decision > 0]
    wanted = next((one.wanted for one in reversed(decided) if one.wanted is not None), None)
    ratios = {one.name: one for one in data.enrichment}
    return [
        {
            "name": name,
            "size": size,
            "pool": data.pool_shares.get(name, 0.0),
            "chosen": ratios[name].chosen if name in ratios else None,
            "ratio": ratios[name].ratio if name in ratios else None,
            "wanted": None if wanted is None else wanted.get(name),
            "unit": data.run.unit,
            "tokens": data.token_shares.get(name),
            "epochs": data.trained[name] / size if size and data.decisions else None,
        }
        for name, size in data.run.domains.items()
    ]


def _listed(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Provenance as names and text, without what is empty."""
    shown = {key: value for key, value in values.items() if value not in ("", None, [], {})}
    return [
        (key, str(value) if isinstance(value, str | int) else json.dumps(value, indent=1, ensure_ascii=False))
        for key, value in shown.items()
    ]
