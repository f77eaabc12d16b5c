"""The tables of docs/experiments.md about what strategies claim, from the outcomes that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.claims.arms import EXPERIMENTS, Comparison
from experiments.claims.one_run import STEPS
from experiments.claims.outcome import PROTOCOL, Outcome
from experiments.figures import over_seeds
from experiments.page import PAGE, replaced

Runs = Mapping[str, Mapping[int, Outcome]]


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
    share = [corpus.marked] if corpus.marked else []
    heads = ["arm", "seeds", *share, f"{loss} after {STEPS} steps", "control: the same steps", "the same work", "cost"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, seeds in runs.items():
        if seeds:
            shares = [_mean([outcome.drawn.marked for outcome in seeds.values()], "{:.0%}")] if share else []
            yield f"| {' | '.join([f'`{name}`', str(len(seeds)), *shares, *_cells(seeds, control)])} |"


def loss_at(outcome: Outcome, steps: float) -> tuple[float, float]:
    """Mean and largest held-out loss after so many steps, between two evaluations by a straight line."""
    losses = [float(np.interp(steps, outcome.steps, values)) for values in outcome.losses.values()]
    return float(np.mean(losses)), max(losses)


def _cells(seeds: Mapping[int, Outcome], control: Mapping[int, Outcome]) -> Iterator[str]:
    both = sorted(set(seeds) & set(control))
    yield _losses([loss_at(outcome, STEPS) for outcome in seeds.values()])
    yield _losses([loss_at(control[seed], STEPS) for seed in both])
    work = {seed: STEPS + seeds[seed].cost for seed in both}
    reached = all(work[seed] <= control[seed].steps[-1] for seed in both)
    yield ("" if reached else "at most ") + _losses([loss_at(control[seed], work[seed]) for seed in both])
    yield _mean([outcome.cost for outcome in seeds.values()], "{:.0f}")


def _losses(pairs: Sequence[tuple[float, float]]) -> str:
    """Means over seeds, with the standard deviation of one; the worst domain's where there are several."""
    if not pairs:
        return ""
    means, worst = np.array(pairs).T
    return str(over_seeds(means)) + ("" if np.allclose(means, worst) else f" / {worst.mean():.3f}")


def _mean(values: Sequence[float], form: str) -> str:
    return form.format(np.mean(values))


def _of(outcomes: Sequence[Outcome], corpus: str, arm: str) -> dict[int, Outcome]:
    found = [o for o in outcomes if (o.corpus, o.arm, o.protocol) == (corpus, arm, PROTOCOL)]
    return {outcome.seed: outcome for outcome in sorted(found, key=lambda outcome: outcome.seed)}
