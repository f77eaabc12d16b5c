"""A page: one HTML file with everything in it, which may ask nothing of any network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from typing import Any

from dataflex_cli.pages.figures import Chart

PLOTLY = "plotly-cartesian.min.js"
PLOTLY_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
"""Of plotly.js-cartesian-dist-min 4.1.1, of the npm registry, as it is in the package."""

GENERATOR = "dataflex"
"""By which a page, and its numbers, are known to be ours."""

_HERE = "dataflex_cli.pages"
_POLICY = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def rendered(package: str, template: str, charts: Iterable[Chart], *, script: str | None = None, **given: Any) -> str:
    """The page of ``template``, which extends ``base.html.j2`` and lies in the templates of ``package``.

    ``script`` is a file beside it. What is ``given`` stands in the page as text, never as markup, and only scripts of
    ours may run: the policy names their digests.
    """
    import jinja2

    places = jinja2.ChoiceLoader([jinja2.PackageLoader(place) for place in (package, _HERE)])
    environment = jinja2.Environment(
        loader=places, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    scripts = [_file(_HERE, "vendor", PLOTLY), _file(_HERE, "templates", "page.js")]
    scripts += [] if script is None else [_file(package, "templates", script)]
    return environment.get_template(template).render(
        **given,
        generator=GENERATOR,
        chart_values=script_json([asdict(chart) for chart in charts]),
        policy=f"default-src 'none'; script-src {' '.join(map(_digest, scripts))}; {_POLICY}",
        scripts=scripts,
        style=_file(_HERE, "templates", "page.css"),
    )


def document_of(data: Any) -> str:
    """A dataclass as JSON, with who made it; what is no finite number is null."""
    return (
        json.dumps({"generator": GENERATOR, **_finite(asdict(data))}, indent=1, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


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


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"


def _file(package: str, folder: str, name: str) -> str:
    return files(package).joinpath(folder, name).read_text(encoding="utf-8")
