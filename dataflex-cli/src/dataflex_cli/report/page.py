"""The page: one HTML file with everything in it, which may ask nothing of any network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from typing import Any

from dataflex_cli.report.charts import Chart, charts_of
from dataflex_cli.report.model import ReportData
from dataflex_cli.report.tiles import tiles_of

PLOTLY = "plotly-cartesian.min.js"
PLOTLY_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
"""Of plotly.js-cartesian-dist-min 4.1.1, of the npm registry, as it is in the package."""

_POLICY = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
_GROUPS = (
    ("course", "The course of the run", ("loss", "proportions", "domain-loss", "weights")),
    ("choice", "What was chosen", ("enrichment", "bands", "scores", "score-length", "lengths")),
    ("again", "Again and again", ("overlap", "coverage", "repeats", "time")),
)


def page_of(data: ReportData) -> str:
    """The report as HTML. Texts of samples stand in it as data, never as markup; only our own scripts may run."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    scripts = [_file("vendor", PLOTLY), _file("templates", "report.js")]
    charts = charts_of(data)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    policy = f"default-src 'none'; script-src {hashes}; {_POLICY}"
    return environment.from_string(_file("templates", "report.html.j2")).render(
        data=data,
        tiles=tiles_of(data),
        groups=[(key, title, [c for c in charts if c.id in ids]) for key, title, ids in _GROUPS if _any(charts, ids)],
        compared=[chart for chart in charts if chart.id.startswith("work-")],
        domains=_domains(data),
        values=script_json(_values(data, charts)),
        policy=policy,
        scripts=scripts,
        style=_file("templates", "report.css"),
        provenance=_listed(data.provenance),
    )


def document_of(data: ReportData) -> str:
    """The same numbers as JSON; what is no finite number is null."""
    return json.dumps(_finite(asdict(data)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def script_json(value: Any) -> str:
    """JSON that may stand in a ``<script>``: nothing in it ends one, or begins one."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _values(data: ReportData, charts: list[Chart]) -> dict[str, Any]:
    """What the page's own script draws charts and tables from."""
    return {
        "charts": [asdict(chart) for chart in charts],
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
    trained = {name: sum(one.chosen.get(name, 0) for one in data.decisions) for name in data.run.domains}
    return [
        {
            "name": name,
            "size": size,
            "pool": data.pool_shares.get(name, 0.0),
            "chosen": ratios[name].chosen if name in ratios else None,
            "ratio": ratios[name].ratio if name in ratios else None,
            "wanted": None if wanted is None else wanted.get(name),
            "tokens": data.token_shares.get(name),
            "epochs": trained[name] / size if size and data.decisions else None,
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


def _any(charts: list[Chart], ids: tuple[str, ...]) -> bool:
    return any(chart.id in ids for chart in charts)


def _file(folder: str, name: str) -> str:
    return files("dataflex_cli.report").joinpath(folder, name).read_text(encoding="utf-8")
