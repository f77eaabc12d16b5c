"""Charts of what was chosen: domains and scores against chance, scores and lengths."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex_cli.pages.figures import Chart, Curve, Trace, histogram, line, titled
from dataflex_cli.report.model import Enrichment, ReportData, Scores


def choice_charts(data: ReportData) -> list[Chart | None]:
    """In the order of the page; None for those of which there is nothing to show."""
    return [
        _enrichment("enrichment", "Domains against the pool", data.enrichment),
        _enrichment("bands", "Scores against what was judged", data.bands),
        _scores(data.scores),
        _prediction(data),
        _lengths(data),
        _score_length(data.scores),
    ]


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
    layout = titled("times as often as chance", "", shapes=[{**one, "line": line}], showlegend=False)
    layout["xaxis"]["range"] = [0, max(1.0, *(row.ratio for row in few)) * 1.2]
    layout["yaxis"] = {"type": "category"}
    says = "1 is chance." + (f" Of {len(rows)}, the first and last twelve." if len(few) < len(rows) else "")
    return Chart(id=id_, title=title, says=says, data=[bars], layout=layout)


def _scores(scores: Sequence[Scores]) -> Chart | None:
    frames = [
        (f"decision {one.decision}", histogram(one.edges, one.judged, one.chosen)[0 if one.of_all else 1 :])
        for one in scores
    ]
    of_all = all(one.of_all for one in scores)
    return Chart(
        id="scores",
        title="Scores",
        says="Of all samples that were judged, and of those chosen among them."
        if of_all
        else "Of the samples that were chosen: the selector does not score the others.",
        data=[],
        frames=frames,
        layout=titled("score", "samples", barmode="overlay", bargap=0.02),
        wide=True,
    )


def _prediction(data: ReportData) -> Chart | None:
    known = [one for one in data.decisions if one.correlation is not None]
    if not known:
        return None
    told = Curve(
        name="rank correlation",
        steps=tuple(float(one.decision) for one in known),
        values=tuple(one.correlation for one in known),
    )
    floor = data.run.exact_floor
    drawn = {"color": "@text", "width": 1.5, "dash": "dot"}
    below = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": floor, "y1": floor, "line": drawn}
    layout = titled("decision", "rank correlation", shapes=[] if floor is None else [below], showlegend=False)
    layout["yaxis"]["range"] = [min(0.0, *(value or 0.0 for value in told.values)), 1]
    says = "Of the scores of the last samples scored with what had been predicted of them: 1 is a perfect order."
    if floor is not None:
        says += f" At the dotted line ({floor:g}) or below, all are scored."
    return Chart(id="prediction", title="Predicted scores", says=says, data=[line(told, "@accent")], layout=layout)


def _lengths(data: ReportData) -> Chart | None:
    lengths = data.lengths
    if lengths is None or len(lengths.edges) < 3:  # all are as long where there is one bin
        return None
    layout = titled("tokens", "share of samples", barmode="overlay", bargap=0.02)
    layout["yaxis"]["tickformat"] = ".0%"
    says = f"On average {lengths.chosen_mean:.0f} tokens were chosen, {lengths.pool_mean:.0f} is the pool's mean."
    bars = histogram(lengths.edges, lengths.pool, lengths.chosen, "pool")
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
        layout=titled("tokens", "score"),
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
