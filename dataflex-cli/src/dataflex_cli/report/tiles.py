"""The figures at the top of the page: a number each, and what it is."""

from __future__ import annotations

from dataclasses import dataclass

from dataflex_cli.report.model import ReportData


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """``value`` in large, ``name`` above it and ``more`` below."""

    name: str
    value: str
    more: str = ""


def tiles_of(data: ReportData) -> list[Tile]:
    """Those of which there is anything to say."""
    run, cost = data.run, data.cost
    decided = [one for one in data.decisions if one.decision > 0]
    found = [
        Tile(name="Steps", value=f"{run.step:,}", more=f"of {run.steps:,}, {run.global_batch} samples each"),
        Tile(name="Samples", value=f"{run.unique:,}", more=f"different ones, {run.samples:,} in all"),
    ]
    if decided:
        judged = sum(one.judged for one in decided)
        drawn = "of proportions" if "mixer" in run.kinds else "without judging any sample"
        more = f"{judged:,} samples judged" if judged else drawn
        found.append(Tile(name="Decisions", value=f"{len(decided):,}", more=more))
    if cost.training_seconds and decided:
        share = cost.deciding_seconds / (cost.deciding_seconds + cost.training_seconds)
        found.append(Tile(name="Time deciding", value=f"{share:.0%}", more=f"{cost.steps:,.0f} training steps' worth"))
    if cost.break_even and cost.break_even > 1:
        more = "random samples a chosen one must be worth"
        found.append(Tile(name="Break-even", value=f"{cost.break_even:.1f}×", more=more))
    if data.evaluations:
        last = data.evaluations[0]
        found.append(Tile(name=last.name, value=f"{last.values[-1]:.3f}", more=f"after step {last.steps[-1]:,.0f}"))
    elif data.losses.values:
        found.append(
            Tile(name="Loss", value=f"{data.losses.values[-1]:.3f}", more=f"at step {data.losses.steps[-1]:,.0f}")
        )
    if data.verdict.difference is not None:
        spread = "" if data.verdict.spread is None else f" ± {data.verdict.spread:.3f}"
        more = f"{data.verdict.metric} at equal work{spread}"
        found.append(Tile(name="Difference", value=f"{data.verdict.difference:+.3f}", more=more))
    return found
