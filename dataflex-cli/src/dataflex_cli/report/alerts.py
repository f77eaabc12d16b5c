"""What is worth a look: a pure function each, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dataflex_cli.report.choice import overlap_by_chance
from dataflex_cli.report.data_alerts import chosen_truncated, leak, lengths_differ, near_duplicates, rows_dropped
from dataflex_cli.report.model import Alert, ReportData, Scores
from dataflex_cli.report.words import counted

Check = Callable[[ReportData], Iterator[Alert]]

_DULL = 1e-9
_ALIKE = 0.8
_WEAK = 0.3


_INSTEAD = {
    "gradients-one-by-one": "To take fewer of them lower dataflex.candidates, or set dataflex.exact.",
    "batches-halved": "Set a smaller dataflex.token_budget, so that no batch is begun twice.",
    "plain-gradients": "Train with an optimizer that keeps Adam's moments, such as adamw_torch.",
    "rule-left-out": "dataflex doctor names the plugin and its fault: update it, or uninstall it.",
    "whole-logits": "Where memory does not suffice, lower per_device_train_batch_size, or cutoff_len.",
}
"""What to do about a fallback, by its kind."""


def alerts_of(data: ReportData) -> tuple[Alert, ...]:
    """All alerts, problems first."""
    found = [alert for check in CHECKS for alert in check(data)]
    return tuple(sorted(found, key=lambda alert: alert.level != "problem"))


def failed(data: ReportData) -> Iterator[Alert]:
    """The run failed, or was stopped."""
    if data.run.state == "failed":
        yield Alert(
            id="failed",
            level="problem",
            title=f"The run ended after step {data.run.step} of {data.run.steps}",
            detail=data.run.error or "",
            todo=data.run.hint or "dataflex run … --resume goes on from the last checkpoint",
        )


def never_chosen(data: ReportData) -> Iterator[Alert]:
    """A domain of which no decision chose anything."""
    decided = [one for one in data.decisions if one.decision > 0]
    planned = {name for one in decided for name, count in one.chosen.items() if count}
    never = [one.name for one in data.enrichment if one.chosen == 0 and one.pool > 0 and one.name not in planned]
    mixes = "mixer" in data.run.kinds
    share = (
        "Have the mixer give it a share" if mixes else "Put a mixer beside the selector to give every domain a share"
    )
    if never and decided:
        yield Alert(
            id="never-chosen",
            level="hint",
            title=f"Never chosen: {_listed(never)}",
            detail="No decision took a sample of it. What the model knows of it may fade.",
            todo=f"{share}, or leave the domain out of the pool.",
        )


def same_again(data: ReportData) -> Iterator[Alert]:
    """Most of what a decision chose was chosen by the one before, and more than two random draws would share."""
    numbers, matrix = data.overlap
    if len(matrix) < 2:
        return
    pool, chosen = sum(data.run.domains.values()), {one.decision: one.trained for one in data.decisions}
    sizes = [min(pool, max(1, chosen.get(number, 0))) for number in numbers]
    pairs = range(1, len(matrix))
    mean = sum(matrix[i][i - 1] for i in pairs) / len(pairs)
    chance = sum(overlap_by_chance(sizes[i], sizes[i - 1], pool) for i in pairs) / len(pairs)
    beyond = (mean - chance) / (1 - chance) if chance < 1 else 0.0
    if beyond > 0.5:
        yield Alert(
            id="same-samples",
            level="problem" if beyond > _ALIKE else "hint",
            title=f"The same samples again and again: {mean:.0%} overlap from decision to decision",
            detail="The run trains on a small part of the pool many times over, and may learn it by heart.",
            todo="Lower dataflex.candidates, so that each decision judges fresh samples, or set dataflex.spread."
            if "selector" in data.run.kinds
            else "Give small domains a smaller share, or more data.",
        )


def by_chance(data: ReportData) -> Iterator[Alert]:
    """What was chosen scores no better than what was judged."""
    ordinary = {band.name: band.ratio for band in data.bands}
    if ordinary and max(ordinary.values()) < 1.1 and "selector random" not in " ".join(data.run.strategies):
        yield Alert(
            id="no-better-than-chance",
            level="problem",
            title="Chosen no better than chance",
            detail="Every fifth of the scores has the same share of what was chosen: the scores decide nothing.",
            todo="Judge more candidates than are chosen (dataflex.candidates), or use selector random at no cost.",
        )


def dull_scores(data: ReportData) -> Iterator[Alert]:
    """Scores that are all the same, or no numbers."""
    told = {one.decision for one in data.decisions if one.instead}
    same = [one for one in data.scores if one.of_all and one.decision not in told and _is_dull(one)]
    if same:
        by_number = any(one.by_number for one in same)
        check = "the target set and the learning rate" if data.run.targets else "the learning rate"
        yield Alert(
            id="constant-scores",
            level="problem",
            title=f"All scores are the same at {_decisions([one.decision for one in same])}",
            detail="What was chosen has the lowest sample numbers."
            if by_number
            else "They tell no sample from another.",
            todo=f"Check {check}: before anything was learnt scores say little.",
        )
    lost, count = sum(one.lost for one in data.scores), sum(one.lost + one.count for one in data.scores)
    if lost:
        yield Alert(
            id="nan-scores",
            level="problem" if lost > count / 100 else "hint",
            title=f"{lost:,} of {counted(count, 'score')} {'is' if lost == 1 else 'are'} NaN",
            detail="These samples cannot be chosen. Mostly they have no target token left after cutting.",
            todo="Raise cutoff_len, or look at the rows: those without an answer teach nothing.",
        )


def poor_predictions(data: ReportData) -> Iterator[Alert]:
    """Scores were predicted, and the predictions were of little use."""
    asked = [one for one in data.decisions if one.exact is not None and one.judged]
    poor = [one.decision for one in asked if not one.predicted]
    known = [one.correlation for one in asked if one.predicted and one.correlation is not None]
    todo = (
        "Raise dataflex.exact, so that predictions have more to learn from. Scores that have little to do with the "
        "words of a sample cannot be predicted: then set exact: all, and fewer candidates."
    )
    if poor:
        yield Alert(
            id="predictions-unused",
            level="problem" if len(poor) > len(asked) / 2 else "hint",
            title=f"Predictions were too poor at {_decisions(poor)}",
            detail="These scored all that they judged, and cost as much as without dataflex.exact.",
            todo=todo,
        )
    if known and (mean := sum(known) / len(known)) < _WEAK:
        yield Alert(
            id="predictions-weak",
            level="hint",
            title=f"Predicted scores are rough: a rank correlation of {mean:.2f} with the exact ones",
            detail="Most of what was chosen was chosen by a prediction that orders samples little better than chance.",
            todo=f"{todo} dataflex.exact_floor says below which correlation predictions are not used.",
        )


def shortages(data: ReportData) -> Iterator[Alert]:
    """Domains, or the pool, that had fewer samples than wanted; selectors that had nothing to choose by."""
    told = list(dict.fromkeys(text for one in data.decisions for text in one.shortages))
    if told:
        more = f", and {len(told) - 1} more" if len(told) > 1 else ""
        yield Alert(
            id="shortages",
            level="hint",
            title="Too few samples for what was wanted",
            detail=f"{told[0]}{more}.",
            todo="dataflex.exhaustion says what happens then: next-epoch repeats, renormalise gives to others.",
        )
    blind = [one for one in data.decisions if one.instead]
    if blind:
        said = "; ".join(dict.fromkeys(text for one in blind for text in one.instead))
        yield Alert(
            id="nothing-to-choose-by",
            level="hint",
            title=f"There was nothing to choose by at {_decisions([one.decision for one in blind])}",
            detail=f"What was trained on was {said}.",
            todo="dataflex describe, with the selector's name, says what it needs to tell samples apart.",
        )


def fallbacks(data: ReportData) -> Iterator[Alert]:
    """Something could not be done as it is best done."""
    for told in data.provenance.get("fallbacks", ()):
        yield Alert(
            id=f"fallback-{told['kind']}",
            level="hint",
            title="Something was done in a slower or rougher way",
            detail=told["text"],
            todo=_INSTEAD.get(told["kind"], "Nothing has to be done: what was decided is the same."),
        )


def few_count(data: ReportData) -> Iterator[Alert]:
    """Weights under which a few samples carry the loss."""
    values = [v for curve in data.weights if curve.name == "effective share" for v in curve.values if v is not None]
    if values and min(values) < 0.1:
        yield Alert(
            id="effective-share",
            level="problem",
            title=f"A few samples carry the loss: effective share down to {min(values):.0%}",
            detail="The other samples of a step cost as much, and teach next to nothing.",
            todo="Make the weighter milder: a higher temperature, or a bound on weights.",
        )


def _is_dull(scores: Scores) -> bool:
    return scores.count > 1 and (scores.spread or 0.0) <= _DULL * abs(scores.mean or 1.0)


CHECKS: tuple[Check, ...] = (
    failed, leak, dull_scores, by_chance, poor_predictions, same_again, never_chosen, shortages, rows_dropped,
    chosen_truncated, near_duplicates, lengths_differ, few_count, fallbacks,
)  # fmt: skip


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _decisions(numbers: list[int]) -> str:
    return f"decision{'s' * (len(numbers) > 1)} {_listed([str(n) for n in numbers])}"
