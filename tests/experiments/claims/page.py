"""The tables of docs/experiments.md about what strategies claim, from the outcomes that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.claims.arms import EXPERIMENTS, Comparison
from experiments.claims.outcome import PROTOCOL, Outcome
from experiments.figures import over_seeds
from experiments.page import PAGE, replaced

Column = tuple[str, Callable[[Any], Any]]
"""How a figure is written, and where it is in an outcome's `Drawn`."""


def write_claims(outcomes: Sequence[Outcome]) -> None:
    """Replace what is between the two comments of each experiment and corpus."""
    text = PAGE.read_text(encoding="utf-8")
    for experiment, comparisons in EXPERIMENTS.items():
        for comparison in comparisons:
            text = replaced(text, mark(experiment, comparison), "\n".join(table(comparison, outcomes)))
    PAGE.write_text(text, encoding="utf-8")


def mark(experiment: str, comparison: Comparison) -> str:
    """What the comments around its table say."""
    return f"{experiment}: {comparison.corpus.name}"


def table(comparison: Comparison, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Lines of Markdown, a row an arm: what it trained on, and its held-out loss beside the control's."""
    corpus = comparison.corpus
    runs = {claim.name: _of(outcomes, corpus.name, claim.name) for claim in comparison.claims}
    control = runs[comparison.claims[0].name]
    if not control:
        yield "This has not been run."
        return
    several = len(next(iter(control.values())).losses) > 1
    loss = "mean / worst held-out loss" if several else "held-out loss"
    drawn = _columns(comparison, control)
    compared = [f"{loss} after {comparison.steps} steps", "control: the same steps", "the same work", "cost"]
    yield f"| {' | '.join(['arm', 'seeds', *drawn, *compared])} |"
    yield "|---" * (2 + len(drawn) + len(compared)) + "|"
    for name, seeds in runs.items():
        if seeds:
            told = [form.format(np.mean([of(o.drawn) for o in seeds.values()])) for form, of in drawn.values()]
            cells = _cells(seeds, control, comparison.steps)
            yield f"| {' | '.join([f'`{name}`', str(len(seeds)), *told, *cells])} |"


def _columns(comparison: Comparison, control: Mapping[int, Outcome]) -> dict[str, Column]:
    """What is told of what arms drew: heads, with the form of a figure and where it is from."""
    marked, (of_one, *_) = comparison.corpus.marked, control.values()
    if marked and of_one.drawn.marked_weight is not None:
        return {
            f"{marked}: of the tokens": ("{:.1%}", lambda drawn: drawn.marked_tokens),
            "of the weight": ("{:.1%}", lambda drawn: drawn.marked_weight),
        }
    if marked:
        return {marked: ("{:.0%}", lambda drawn: drawn.marked)}
    if of_one.drawn.last is not None:
        return {
            "drawn of a domain, in uniform shares: least": ("{:.2f}", lambda drawn: _in_uniform(drawn.shares, min)),
            "most": ("{:.2f}", lambda drawn: _in_uniform(drawn.shares, max)),
            "asked for at the end: least": ("{:.2f}", lambda drawn: _in_uniform(drawn.last, min)),
            "the most": ("{:.2f}", lambda drawn: _in_uniform(drawn.last, max)),
        }
    return {}


def _in_uniform(shares: Mapping[str, float], which: Callable[[Iterable[float]], float]) -> float:
    """1 is what each of so many domains has where all have the same."""
    return which(shares.values()) * len(shares)


def loss_at(outcome: Outcome, steps: float) -> tuple[float, float]:
    """Mean and largest held-out loss after so many steps, between two evaluations by a straight line."""
    losses = [float(np.interp(steps, outcome.steps, values)) for values in outcome.losses.values()]
    return float(np.mean(losses)), max(losses)


def _cells(seeds: Mapping[int, Outcome], control: Mapping[int, Outcome], steps: int) -> Iterator[str]:
    both = sorted(set(seeds) & set(control))
    yield _losses([loss_at(outcome, steps) for outcome in seeds.values()])
    yield _losses([loss_at(control[seed], steps) for seed in both])
    work = {seed: steps + seeds[seed].cost for seed in both}
    reached = all(work[seed] <= control[seed].steps[-1] for seed in both)
    yield ("" if reached else "at most ") + _losses([loss_at(control[seed], work[seed]) for seed in both])
    yield f"{np.mean([outcome.cost for outcome in seeds.values()]):.0f}"


def _losses(pairs: Sequence[tuple[float, float]]) -> str:
    """Means over seeds, with the standard deviation of one; the worst domain's where there are several."""
    if not pairs:
        return ""
    means, worst = np.array(pairs).T
    return str(over_seeds(means)) + ("" if np.allclose(means, worst) else f" / {worst.mean():.3f}")


def _of(outcomes: Sequence[Outcome], corpus: str, arm: str) -> dict[int, Outcome]:
    found = [o for o in outcomes if (o.corpus, o.arm, o.protocol) == (corpus, arm, PROTOCOL)]
    return {outcome.seed: outcome for outcome in sorted(found, key=lambda outcome: outcome.seed)}
