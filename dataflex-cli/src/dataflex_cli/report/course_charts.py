"""Charts of the course of a run: losses, proportions, weights, other runs at equal work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataflex_cli.pages.figures import Chart, Trace, few_of, line, marks, over_steps, titled, together
from dataflex_cli.report.model import ReportData


def course_charts(data: ReportData) -> list[Chart | None]:
    """In the order of the page; None for those of which there is nothing to show."""
    return [_loss(data), _proportions(data), _domain_losses(data), *_weights(data)]


def _loss(data: ReportData) -> Chart | None:
    if not data.losses.steps and not data.evaluations:
        return None
    lines = [line(data.losses, "@accent")] if data.losses.steps else []
    lines += [line(one, f"@{i + 1}") for i, one in enumerate(data.evaluations)]
    decided = [one for one in data.decisions if one.decision > 0]
    marked = (
        "A dotted line marks the decision." if len(decided) == 1 else f"Dotted lines mark the {len(decided)} decisions."
    )
    says = marked if decided else "The loss of what was trained on."
    layout = over_steps(data.run.step, "loss", shapes=marks([one.step for one in decided]))
    return Chart(id="loss", title="Loss", says=says, data=lines, layout=layout, wide=True)


def work_charts(data: ReportData) -> Iterable[Chart]:
    """Losses over work in place of steps, a chart for each metric that was compared."""
    for metric in dict.fromkeys(one.metric for one in data.against):
        others = [one for one in data.against if one.metric == metric]
        lines = [line(others[0].own, "@accent")]
        lines += [
            line(one.curve, f"@{(i + 1) % 12}", line={"color": f"@{(i + 1) % 12}", "dash": "dash", "width": 2})
            for i, one in enumerate(others)
        ]
        yield Chart(
            id=f"work-{metric}",
            title=f"{metric} at equal work",
            says="Against everything that was computed, decisions included: further left is cheaper, lower is better.",
            data=lines,
            layout=titled("work, in training steps", metric),
            wide=True,
        )


def _proportions(data: ReportData) -> Chart | None:
    done = [one for one in data.decisions if one.trained]
    if not done or len(data.pool_shares) < 2:
        return None
    weight = {one.name: max(one.chosen, one.pool) for one in data.enrichment} or dict(data.pool_shares)
    shown = few_of(data.pool_shares, weight)
    rows = [together(one.shares, shown) for one in done]
    steps = [one.step for one in done] + [min(done[-1].until, data.run.step)]
    areas: list[Trace] = []
    for i, name in enumerate(rows[0]):
        shares = [row[name] for row in rows]
        areas.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": steps,
                "y": [*shares, shares[-1]],
                "stackgroup": "one",
                "line": {"shape": "hv", "width": 0.5, "color": f"@{i}"},
                "hovertemplate": "%{y:.1%}",
            }
        )
    total, dotted = 0.0, {"color": "@text", "width": 1.5, "dash": "dot"}
    lines = []
    for share in list(together(data.pool_shares, shown).values())[:-1]:
        total += share
        lines.append({"type": "line", "x0": steps[0], "x1": steps[-1], "y0": total, "y1": total, "line": dotted})
    return Chart(
        id="proportions",
        title="Proportions of domains",
        says="What each interval trained on. Dotted: where the borders would be if it were as the pool is.",
        data=areas,
        layout=over_steps(data.run.step, "share of samples", shapes=lines, hovermode="x unified")
        | {"yaxis": {"range": [0, 1], "tickformat": ".0%", "title": {"text": "share of samples"}}},
        wide=True,
    )


def _domain_losses(data: ReportData) -> Chart | None:
    if not data.domain_losses:
        return None
    shown = few_of([one.name for one in data.domain_losses], data.pool_shares)
    measured = [one for one in data.domain_losses if one.name in shown]
    lines = [line(one, f"@{i}") for i, one in enumerate(measured)]
    for i, of in enumerate(measured):
        fits = [one for one in data.fitted_losses if one.name.startswith(f"{of.name}, fitted: ")]
        lines += [line(one, f"@{i}", mode="lines", line={"color": f"@{i}", "dash": "dash", "width": 2}) for one in fits]
    says = "Mean loss of a target token, unweighted, of what was trained on."
    says += " Dashed: what the mixer fitted to it last." if data.fitted_losses else ""
    return Chart(
        id="domain-loss",
        title="Loss by domain",
        says=says,
        data=lines,
        layout=over_steps(data.run.step, "loss"),
        wide=True,
    )


def _weights(data: ReportData) -> Iterable[Chart]:
    if data.weights:
        lines = [line(one, f"@{i}") for i, one in enumerate(data.weights)]
        says = "Effective share: how many samples of a step really count, 1 where all weigh the same."
        yield Chart(id="weights", title="Weights", says=says, data=lines, layout=_from_zero(data, ""), wide=True)
    if data.domain_weights:
        shown = few_of([one.name for one in data.domain_weights], data.pool_shares)
        lines = [line(one, f"@{i}") for i, one in enumerate(one for one in data.domain_weights if one.name in shown)]
        says = "What a target token counted in the loss: 1 is the mean of all that was trained on."
        layout = _from_zero(data, "weight of a token")
        yield Chart(id="domain-weight", title="Weight by domain", says=says, data=lines, layout=layout, wide=True)


def _from_zero(data: ReportData, what: str) -> dict[str, Any]:
    layout = over_steps(data.run.step, what)
    layout["yaxis"]["rangemode"] = "tozero"
    return layout
