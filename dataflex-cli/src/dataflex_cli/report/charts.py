"""The charts of a report as plain plotly.js figures: JSON values, without any colour of their own.

A colour is written ``@NAME``, ``@0`` to ``@11``, ``@accent``, ``@muted`` or ``@text``: the page puts in its theme's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataflex_cli.report.model import Curve, Enrichment, ReportData, Scores, Taken

Trace = dict[str, Any]

_DOMAINS = 11
_MARKS = 60
OTHERS = "all others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure: ``data`` and ``layout`` are plotly's. With ``frames`` a slider shows one ``data`` after the other.

    ``says`` is a line below the title, for those who do not see the figure, too.
    """

    id: str
    title: str
    says: str
    data: list[Trace]
    layout: dict[str, Any] = field(default_factory=dict)
    frames: list[tuple[str, list[Trace]]] = field(default_factory=list)
    wide: bool = False


def charts_of(data: ReportData) -> list[Chart]:
    """Those of which there is anything to show, in the order of the page."""
    made = [
        _loss(data),
        *_work(data),
        _proportions(data),
        _enrichment("enrichment", "Domains against the pool", data.enrichment),
        _enrichment("bands", "Scores against what was judged", data.bands),
        _domain_losses(data),
        _scores(data.scores),
        _overlap(data),
        _coverage(data),
        _repeats(data),
        _lengths(data),
        _score_length(data.scores),
        *_weights(data.weights),
        _time(data),
    ]
    return [chart for chart in made if chart is not None and (chart.data or chart.frames)]


def _line(curve: Curve, colour: str, **more: Any) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(curve.steps) <= 60 else "lines",
        "name": curve.name,
        "x": list(curve.steps),
        "y": list(curve.values),
        "line": {"color": colour, "width": 2},
        "marker": {"size": 5},
        **more,
    }


def _titled(x: str, y: str, **more: Any) -> dict[str, Any]:
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, **more}


def _loss(data: ReportData) -> Chart | None:
    if not data.losses.steps and not data.evaluations:
        return None
    lines = [_line(data.losses, "@accent")] if data.losses.steps else []
    lines += [_line(one, f"@{i + 1}") for i, one in enumerate(data.evaluations)]
    decided = [one for one in data.decisions if one.decision > 0]
    says = f"Dotted lines mark the {len(decided)} decisions." if decided else "The loss of what was trained on."
    layout = _titled("step", "loss", shapes=_marks([one.step for one in decided]))
    return Chart(id="loss", title="Loss", says=says, data=lines, layout=layout, wide=True)


def _marks(steps: Sequence[int]) -> list[dict[str, Any]]:
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    few = steps[:: -(-len(steps) // _MARKS) or 1]
    return [
        {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "layer": "below", "line": line}
        for x in few
    ]


def _work(data: ReportData) -> Iterable[Chart]:
    """Over work in place of steps, a chart for each metric that was compared."""
    for metric in dict.fromkeys(one.metric for one in data.against):
        others = [one for one in data.against if one.metric == metric]
        lines = [_line(others[0].own, "@accent")]
        lines += [
            _line(one.curve, f"@{(i + 1) % 12}", line={"color": f"@{(i + 1) % 12}", "dash": "dash", "width": 2})
            for i, one in enumerate(others)
        ]
        yield Chart(
            id=f"work-{metric}",
            title=f"{metric} at equal work",
            says="Against everything that was computed, decisions included: further left is cheaper, lower is better.",
            data=lines,
            layout=_titled("work, in training steps", metric),
            wide=True,
        )


def shown_domains(names: Iterable[str], weight: Mapping[str, float]) -> list[str]:
    """The domains with a colour of their own: all, or the largest where there are many."""
    every = list(names)
    if len(every) <= _DOMAINS + 1:
        return every
    largest = set(sorted(every, key=lambda name: -weight.get(name, 0.0))[:_DOMAINS])
    return [name for name in every if name in largest]


def _together(values: Mapping[str, float], shown: Sequence[str]) -> dict[str, float]:
    """The shares of the domains shown, and of all others as one."""
    found = {name: values.get(name, 0.0) for name in shown}
    rest = sum(share for name, share in values.items() if name not in found)
    return {**found, OTHERS: rest} if len(values) > len(found) else found


def _proportions(data: ReportData) -> Chart | None:
    if not data.decisions or len(data.pool_shares) < 2:
        return None
    weight = {one.name: max(one.chosen, one.pool) for one in data.enrichment} or dict(data.pool_shares)
    shown = shown_domains(data.pool_shares, weight)
    rows = [_together(one.shares, shown) for one in data.decisions]
    steps = [one.step for one in data.decisions] + [data.decisions[-1].until]
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
    for share in list(_together(data.pool_shares, shown).values())[:-1]:
        total += share
        lines.append({"type": "line", "x0": steps[0], "x1": steps[-1], "y0": total, "y1": total, "line": dotted})
    return Chart(
        id="proportions",
        title="Proportions of domains",
        says="What each interval trained on. Dotted: where the borders would be if it were as the pool is.",
        data=areas,
        layout=_titled("step", "share of samples", shapes=lines, hovermode="x unified")
        | {"yaxis": {"range": [0, 1], "tickformat": ".0%", "title": {"text": "share of samples"}}},
        wide=True,
    )


def _enrichment(id_: str, title: str, rows: Sequence[Enrichment]) -> Chart | None:
    if not rows:
        return None
    few = rows if len(rows) <= 24 else [*rows[:12], *rows[-12:]]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "share of what was chosen ÷ share of what there was",
        "x": [one.ratio for one in reversed(few)],
        "y": [one.name for one in reversed(few)],
        "customdata": [[one.chosen, one.pool] for one in reversed(few)],
        "marker": {"color": ["@accent" if one.ratio >= 1 else "@muted" for one in reversed(few)]},
        "hovertemplate": "%{y}: %{x:.2f}×<br>chosen %{customdata[0]:.1%}, before %{customdata[1]:.1%}<extra></extra>",
        "text": [f"{one.ratio:.2f}×" for one in reversed(few)],
        "textposition": "outside",
        "cliponaxis": False,
    }
    one = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper"}
    line = {"color": "@text", "width": 1.5, "dash": "dot"}
    layout = _titled("times as often as chance", "", shapes=[{**one, "line": line}], showlegend=False)
    layout["xaxis"]["range"] = [0, max(1.0, *(row.ratio for row in few)) * 1.2]
    layout["yaxis"] = {"type": "category"}
    says = "1 is chance." + (f" Of {len(rows)}, the first and last twelve." if len(few) < len(rows) else "")
    return Chart(id=id_, title=title, says=says, data=[bars], layout=layout)


def _domain_losses(data: ReportData) -> Chart | None:
    if not data.domain_losses:
        return None
    shown = shown_domains([one.name for one in data.domain_losses], data.pool_shares)
    lines = [_line(one, f"@{i}") for i, one in enumerate(c for c in data.domain_losses if c.name in shown)]
    says = "Mean loss of a target token, unweighted, of what was trained on."
    return Chart(
        id="domain-loss", title="Loss by domain", says=says, data=lines, layout=_titled("step", "loss"), wide=True
    )


def _scores(scores: Sequence[Scores]) -> Chart | None:
    frames = [(f"decision {one.decision}", _histogram(one.edges, one.judged, one.chosen)) for one in scores]
    return Chart(
        id="scores",
        title="Scores",
        says="Of all samples that were judged, and of those chosen among them.",
        data=[],
        frames=frames,
        layout=_titled("score", "samples", barmode="overlay", bargap=0.02),
        wide=True,
    )


def _histogram(
    edges: Sequence[float], every: Sequence[float], chosen: Sequence[float], first: str = "judged"
) -> list[Trace]:
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    widths = [b - a for a, b in itertools.pairwise(edges)]
    both = ((first, every, "@muted"), ("chosen", chosen, "@accent"))
    return [
        {
            "type": "bar",
            "name": name,
            "x": middles,
            "y": list(counts),
            "width": widths,
            "marker": {"color": colour, "opacity": 0.75},
        }
        for name, counts, colour in both
    ]


def _overlap(data: ReportData) -> Chart | None:
    decisions, matrix = data.overlap
    if len(decisions) < 2:
        return None
    names = [str(number) for number in decisions]
    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": [list(row) for row in matrix],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "@scale",
        "colorbar": {"thickness": 12, "tickformat": ".0%"},
        "hovertemplate": "decisions %{x} and %{y}: %{z:.1%} shared<extra></extra>",
    }
    axis = {"type": "category", "title": {"text": "decision"}}
    layout = {"xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}}
    says = "How much of what two decisions chose is the same (Jaccard index)."
    return Chart(id="overlap", title="Overlap of decisions", says=says, data=[heat], layout=layout)


def _coverage(data: ReportData) -> Chart | None:
    pool = sum(data.run.domains.values())
    if not data.decisions or not pool:
        return None
    seen = Curve(
        name="of the pool seen so far",
        steps=tuple(float(one.until) for one in data.decisions),
        values=tuple(one.seen / pool for one in data.decisions),
    )
    layout = _titled("step", "share of the pool") | {
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of the pool"}},
        "showlegend": False,
    }
    says = f"{seen.values[-1] or 0:.0%} of the pool was trained on at least once."
    return Chart(id="coverage", title="Coverage of the pool", says=says, data=[_line(seen, "@accent")], layout=layout)


def _repeats(data: ReportData) -> Chart | None:
    if not data.repeats:
        return None
    times, counts = zip(*data.repeats, strict=True)
    bars = {"type": "bar", "name": "samples", "x": list(times), "y": list(counts), "marker": {"color": "@accent"}}
    layout = _titled("times trained on", "samples", showlegend=False)
    layout["xaxis"] |= {"dtick": 1} if len(times) <= 12 else {}
    says = f"No sample was trained on more than {counted_times(times[-1])}."
    return Chart(id="repeats", title="Repeats", says=says, data=[bars], layout=layout)


def counted_times(number: int) -> str:
    """Once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _lengths(data: ReportData) -> Chart | None:
    lengths = data.lengths
    if lengths is None:
        return None
    layout = _titled("tokens", "share of samples", barmode="overlay", bargap=0.02)
    layout["yaxis"]["tickformat"] = ".0%"
    says = f"On average {lengths.chosen_mean:.0f} tokens were chosen, {lengths.pool_mean:.0f} is the pool's mean."
    bars = _histogram(lengths.edges, lengths.pool, lengths.chosen, "pool")
    return Chart(id="lengths", title="Lengths", says=says, data=bars, layout=layout)


def _score_length(scores: Sequence[Scores]) -> Chart | None:
    frames = []
    for one in scores:
        if one.lengths:
            traces = [_dots(one, False, "@muted"), _dots(one, True, "@accent")]
            told = one.length_correlation
            label = f"decision {one.decision}" + ("" if told is None else f" · rank correlation {told:.2f}")
            frames.append((label, traces))
    return Chart(
        id="score-length",
        title="Score against length",
        says="Where the two go together, the choice is one by length.",
        data=[],
        frames=frames,
        layout=_titled("tokens", "score"),
    )


def _dots(scores: Scores, chosen: bool, colour: str) -> Trace:
    dots = [(x, y) for x, y, taken in scores.lengths if taken == chosen]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "chosen" if chosen else "not chosen",
        "x": [x for x, _ in dots],
        "y": [y for _, y in dots],
        "marker": {"color": colour, "size": 5, "opacity": 0.7},
    }


def _weights(curves: Sequence[Curve]) -> Iterable[Chart]:
    if not curves:
        return
    lines = [_line(one, f"@{i}") for i, one in enumerate(curves)]
    says = "Effective share: how many samples of a step really count, 1 where all weigh the same."
    layout = _titled("step", "")
    layout["yaxis"]["rangemode"] = "tozero"
    yield Chart(id="weights", title="Weights", says=says, data=lines, layout=layout, wide=True)


def _time(data: ReportData) -> Chart | None:
    decided = [one for one in data.decisions if one.decision > 0]
    if not decided:
        return None
    parts = _spent(decided)
    layout = _titled("decision", "seconds", barmode="stack")
    layout["xaxis"]["type"] = "category"
    cost = data.cost
    says = f"Deciding took {cost.deciding_seconds:,.1f} s"
    if cost.training_seconds is not None:
        says += f", training {cost.training_seconds:,.1f} s"
    return Chart(id="time", title="Time spent deciding", says=f"{says}.", data=parts, layout=layout)


def _spent(decided: Sequence[Taken]) -> list[Trace]:
    names = [str(one.decision) for one in decided]
    signals = [one.signal_seconds for one in decided]
    rest = [max(0.0, one.seconds - one.signal_seconds) for one in decided]
    both = (("asking the model", signals, "@accent"), ("all else", rest, "@muted"))
    if not any(signals):
        both = (("deciding", rest, "@accent"),)  # type: ignore[assignment]  # a tuple of one
    return [{"type": "bar", "name": n, "x": names, "y": y, "marker": {"color": c}} for n, y, c in both]
