"""A report in words: what ran, what was decided, what it cost, whether it paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex_cli.report.model import Change, Cost, ReportData


def words_of(data: ReportData) -> tuple[str, ...]:
    """A sentence or two each."""
    return tuple(_sentences(data))


def _sentences(data: ReportData) -> Iterator[str]:
    yield _ran(data)
    yield from map(of_a_change, data.run.changes)
    if data.run.since is not None:
        yield of_its_data(data.run.since)
    if (decided := _decided(data)) is not None:
        yield decided
        yield from _predicted(data)
        yield _cost(data.cost)
    yield from _weighed(data)
    yield _paid(data)


def _ran(data: ReportData) -> str:
    run = data.run
    pool = sum(run.domains.values())
    done = {
        "finished": f"trained {run.step:,} steps",
        "failed": f"ended after step {run.step:,} of {run.steps:,}",
        "unfinished": f"has trained {run.step:,} of {run.steps:,} steps so far",
    }[run.state]
    on = f"{run.samples:,} samples, {run.unique:,} of them different"
    kinds = f"{pool:,} samples in {counted(len(run.domains), 'domain')}"
    target = f", with a target set of {sum(run.targets.values()):,}" if run.targets else ""
    return f"The run {done}, on {on}, from a pool of {kinds}{target}. It decided by {listed(run.strategies)}."


def _decided(data: ReportData) -> str | None:
    decided = [one for one in data.decisions if one.decision > 0]
    if not decided:
        return None
    judged = sum(one.judged for one in decided)
    steps = max(0, data.run.step - decided[0].step)
    said = f"{counted(len(decided), 'decision')} chose what {counted(steps, 'step')} trained on"
    said += f", judging {judged:,} samples in all." if judged else "."
    told = [one for one in data.enrichment if one.ratio > 1.1][:2] + [
        one for one in data.enrichment if one.ratio < 0.9
    ][-2:]
    if told:
        said += f" Compared with chance it took {listed([f'{one.name} {times(one.ratio)}' for one in told])}."
    elif len(data.enrichment) > 1:
        said += " Every domain was taken about as often as chance would."
    return said


def _predicted(data: ReportData) -> Iterator[str]:
    """How well scores were predicted, where some were to be."""
    asked = [one for one in data.decisions if one.exact is not None and one.judged]
    if not asked:
        return
    used = [one for one in asked if one.predicted]
    known = [one.correlation for one in used if one.correlation is not None]
    said = "Scores were to be predicted from those of a few samples, and never were: the predictions were too poor."
    if used:
        share = sum(one.exact or 0 for one in used) / sum(one.judged for one in used)
        how = f", at a rank correlation of {sum(known) / len(known):.2f}" if known else ""
        said = f"It scored {share:.0%} of what it judged and predicted the rest{how}."
        if len(used) < len(asked):
            too_poor = len(asked) - len(used)
            said += f" At {too_poor} of {counted(len(asked), 'decision')} predictions were too poor: all was scored."
    yield said


def _weighed(data: ReportData) -> Iterator[str]:
    """Whom weighting favoured, and whom it did not: the two furthest from the mean."""
    ordered = sorted(data.weights_over_run.items(), key=lambda pair: pair[1])
    if not ordered:
        return
    (least, low), (most, high) = ordered[0], ordered[-1]
    if high - low < 0.01:
        yield "Weighting made the tokens of every domain count alike."
    else:
        yield f"Weighting made a token of {most} count {high:.2f} times the mean, and one of {least} {low:.2f} times."


def times(ratio: float) -> str:
    """How often, for people."""
    if ratio == 0:
        return "never"
    return f"{ratio:{'.1f' if ratio >= 0.95 else '.2f' if ratio >= 0.1 else '.2g'}} times as often"


def _cost(cost: Cost) -> str:
    if cost.break_even is None or cost.break_even == 1.0:
        return "Deciding cost next to nothing."
    how = "as measured" if cost.measured is not None else "as declared"
    said = f"Deciding cost {cost.steps:,.0f} training steps' worth of work, {how}"
    if cost.training_seconds:
        share = cost.deciding_seconds / (cost.deciding_seconds + cost.training_seconds)
        said += f": {share:.0%} of the time"
    return f"{said}. To break even a chosen sample must be worth {cost.break_even:.1f} random ones."


def _paid(data: ReportData) -> str:
    verdict = data.verdict
    if verdict.runs == 0:
        other = "with weighter uniform" if set(data.run.kinds) == {"weighter"} else "with selector random"
        return f"Whether it paid is not known: train the same {other}, and name that run with --against."
    if verdict.difference is None:
        return "Whether it paid is not known: the runs cannot be compared (below)."
    over = counted(verdict.runs, "other run")
    spread = "" if verdict.spread is None else f", give or take {verdict.spread:.3f}"
    figures = f"{verdict.metric} is the same as"
    if verdict.difference:
        apart = "lower" if verdict.difference < 0 else "higher"
        figures = f"{verdict.metric} is {abs(verdict.difference):.3f} {apart} than"
    said = {True: "It paid", False: "It did not pay", None: "Whether it paid cannot be told"}[verdict.paid]
    said += f": at {verdict.at:,.0f} training steps' worth of work, as far as all of them went, "
    said += f"{figures} that of {over}{spread}."
    if verdict.spread is None:
        of_each = "one run of each" if verdict.runs == 1 else "one seed of each"
        said += f" This is {of_each}: another seed may make as much of a difference."
    if any(one.batch != data.run.global_batch for one in data.against if one.why_not is None):
        said += f" Work is counted in steps of {data.run.global_batch:,} samples, as this run has them."
    if without := [one.name for one in data.against if one.why_not is not None]:
        said += f" Not compared: {listed(without)} (below)."
    said += "".join(f" {one.pool}." for one in data.against if one.pool is not None and one.why_not is None)
    work = data.cost.work
    if verdict.at is not None and verdict.at < 0.9 * work:
        said += f" This run went on to {work:,.0f}: train the other as far to compare the whole."
    return said


def of_its_data(since: int) -> str:
    """What is told of a run that went on with other data."""
    return (
        f"After step {since:,} it went on with other data: samples, domains and decisions are those since then, "
        "losses, times and costs those of the whole run."
    )


def of_a_change(change: Change) -> str:
    """What is told of a run that went on with other strategies, parameters or plans."""
    otherwise = "otherwise" if change.strategies is None else f"with {listed(change.strategies)}"
    return f"After step {change.step:,} it went on {otherwise}: {'; '.join(change.told)}."


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
