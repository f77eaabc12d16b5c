"""Charts of what comes again and again: overlap of decisions, coverage, repeats, time."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex_cli.pages.figures import Chart, Curve, Trace, line, over_steps, titled
from dataflex_cli.report.model import ReportData, Taken


def again_charts(data: ReportData) -> list[Chart | None]:
    """In the order of the page; None for those of which there is nothing to show."""
    return [_overlap(data), _coverage(data), _repeats(data), _time(data)]


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
        steps=tuple(float(min(one.until, data.run.step)) for one in data.decisions),
        values=tuple(one.seen / pool for one in data.decisions),
    )
    last = seen.values[-1] or 0.0
    layout = over_steps(data.run.step, "share of the pool", showlegend=False)
    layout["yaxis"] |= {"tickformat": ".2~%", "rangemode": "tozero"}
    says = f"{last:{'.0%' if last >= 0.1 else '.1%'}} of the pool was trained on at least once."
    return Chart(id="coverage", title="Coverage of the pool", says=says, data=[line(seen, "@accent")], layout=layout)


def _repeats(data: ReportData) -> Chart | None:
    if not data.repeats:
        return None
    times, counts = zip(*data.repeats, strict=True)
    bars = {"type": "bar", "name": "samples", "x": list(times), "y": list(counts), "marker": {"color": "@accent"}}
    layout = titled("times trained on", "samples", showlegend=False)
    layout["xaxis"] |= {"dtick": 1} if len(times) <= 12 else {}
    says = f"No sample was trained on more than {counted_times(times[-1])}."
    return Chart(id="repeats", title="Repeats", says=says, data=[bars], layout=layout)


def counted_times(number: int) -> str:
    """Once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _time(data: ReportData) -> Chart | None:
    decided = [one for one in data.decisions if one.decision > 0]
    if not decided:
        return None
    parts = _spent(decided)
    layout = titled("decision", "seconds", barmode="stack")
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
