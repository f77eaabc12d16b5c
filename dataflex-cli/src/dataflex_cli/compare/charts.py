"""The charts of a comparison: a colour a group, a thin line a run, a thick one for the mean of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from dataflex_cli.compare.measures import mean_curves
from dataflex_cli.compare.model import Comparison, Metric
from dataflex_cli.pages.figures import Chart, Curve, Trace, few_of, line, titled, together

_COLOURS = 12


def charts_of(data: Comparison) -> list[Chart]:
    """Those of which there is anything to show, in the order of the page."""
    made = [chart for i, metric in enumerate(data.metrics) for chart in _metric(data, metric, i)]
    made += [*_training(data), *_shares(data), *_overlap(data)]
    return [chart for chart in made if chart.data]


def _metric(data: Comparison, metric: Metric, number: int) -> Iterator[Chart]:
    name = metric.name
    steps = titled("step", name)
    yield Chart(
        id=f"steps-{number}",
        title=f"{name} at equal steps",
        says="Lower is better. A step costs the same, whatever was spent on choosing its samples.",
        data=_lines(data, name, "over_steps"),
        layout=steps | _marked(metric.step),
        wide=True,
    )
    work = titled(f"work, in training steps of {data.batch} samples", name)
    yield Chart(
        id=f"work-{number}",
        title=f"{name} at equal work",
        says="Against everything that was computed, decisions included: further left is cheaper, lower is better.",
        data=_lines(data, name, "over_work"),
        layout=work | _marked(metric.work),
        wide=True,
    )


def _marked(place: float | None) -> dict[str, list[dict[str, object]]]:
    """An upright line at the place where runs are compared."""
    if place is None:
        return {}
    drawn = {"color": "@text", "width": 1.5, "dash": "dot"}
    return {"shapes": [{"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper", "line": drawn}]}


def _lines(data: Comparison, metric: str, over: Literal["over_steps", "over_work"]) -> list[Trace]:
    runs = [getattr(one, over).get(metric) for one in data.runs]
    return _drawn(data, runs, [getattr(group, over).get(metric) for group in data.groups])


def _drawn(data: Comparison, runs: Sequence[Curve | None], means: Sequence[Curve | None]) -> list[Trace]:
    """A line a run and, thicker, one a group of several; the legend names these alone, so that it is short."""
    lines = []
    for one, curve in zip(data.runs, runs, strict=True):
        if curve is not None and curve.steps:
            several = len(data.groups[one.group].members) > 1
            drawn = {"color": _colour(one.group), "width": 1 if several else 2, "dash": "dot" if several else "solid"}
            lines.append(line(curve, "", name=one.name, line=drawn, showlegend=not several))
    for number, (group, curve) in enumerate(zip(data.groups, means, strict=True)):
        if curve is not None and curve.steps and len(group.members) > 1:
            named = f"{group.name}, mean of {len(group.members)}"
            lines.append(line(curve, "", name=named, line={"color": _colour(number), "width": 3.5}))
    return lines


def _colour(group: int) -> str:
    return f"@{group % _COLOURS}"


def _training(data: Comparison) -> Iterator[Chart]:
    losses = [one.losses for one in data.runs]
    means = []
    for group in data.groups:
        curves = [{"loss": one.losses} for one in data.runs if one.name in group.members and one.losses.steps]
        means.append(mean_curves(curves, group.name).get("loss"))
    yield Chart(
        id="training",
        title="Loss in training",
        says="Of other samples in each run: a choice of hard samples raises it, and says nothing about the model.",
        data=_drawn(data, losses, means),
        layout=titled("step", "loss"),
        wide=True,
    )


def _shares(data: Comparison) -> Iterator[Chart]:
    names = list(dict.fromkeys([*data.pool_shares, *(name for one in data.groups for name in one.shares)]))
    if len(names) < 2:
        return
    means = [{name: one.shares[name].mean if name in one.shares else 0.0 for name in names} for one in data.groups]
    weight = {name: max([data.pool_shares.get(name, 0.0), *(one[name] for one in means)]) for name in names}
    few = few_of(names, weight)
    bars = [_bars("pool", together(data.pool_shares, few), "@muted")] if data.pool_shares else []
    for number, (group, shares) in enumerate(zip(data.groups, means, strict=True)):
        bar = _bars(group.name, together(shares, few), _colour(number))
        spreads = [one.spread if (one := group.shares.get(name)) is not None else None for name in few]
        if any(spread is not None for spread in spreads):
            bar["error_y"] = {"type": "data", "array": spreads, "thickness": 1.2, "width": 3, "color": "@text"}
        bars.append(bar)
    seeds = "; thin lines are the spread over seeds" if any("error_y" in bar for bar in bars) else ""
    layout = titled("", "share of samples", barmode="group")
    layout["yaxis"]["tickformat"] = ".0%"
    layout["xaxis"]["type"] = "category"
    yield Chart(
        id="shares",
        title="Domains",
        says=f"Shares in what was trained on after the warm-up{seeds}.",
        data=bars,
        layout=layout,
        wide=True,
    )


def _bars(name: str, shares: Mapping[str, float], colour: str) -> Trace:
    return {
        "type": "bar",
        "name": name,
        "x": list(shares),
        "y": list(shares.values()),
        "marker": {"color": colour},
        "hovertemplate": "%{x}: %{y:.1%}",
    }


def _overlap(data: Comparison) -> Iterator[Chart]:
    if data.overlap.why_not is not None:
        return
    names = [one.name for one in data.runs]
    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": [list(row) for row in data.overlap.matrix],
        "customdata": [list(row) for row in data.overlap.chance],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "@scale",
        "colorbar": {"thickness": 12, "tickformat": ".0%"},
        "hovertemplate": "%{x} and %{y}: %{z:.1%} shared, %{customdata:.1%} by chance<extra></extra>",
    }
    axis = {"type": "category"}
    yield Chart(
        id="overlap",
        title="Overlap of what was chosen",
        says=f"How much of what two runs chose up to step {data.overlap.step:,} is the same (Jaccard index).",
        data=[heat],
        layout={"xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}},
        wide=True,
    )
