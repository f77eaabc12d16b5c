"""`exact`: what a decision costs that scores a quarter of what it chooses, and what its choice is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.clock import alternate
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.ours import make_signals
from benchmarks.samples import mixed, tokenised
from dataflex_cli.demo.texts import collect_texts
from dataflex_core import top
from dataflex_core.planning.predict import Memory
from dataflex_core.planning.probe import Judgement, Probing, judge
from dataflex_core.planning.token_features import WIDTH, token_features

RATIO = 0.25
_EARLIER = 3  # decisions whose scores are remembered


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds of a decision that predicts most scores over those of one that takes all, the target set's pass in both.

    Candidates are twice the bench's pool, a quarter of them is chosen. The model does not train in between; the
    features are made beforehand, as they are once a run.
    """
    from scipy.stats import spearmanr  # type: ignore[import-untyped]
    from transformers import AutoTokenizer

    tokenizer, chosen = AutoTokenizer.from_pretrained(bench.folder / "model"), bench.scale.pool // 2
    rows = tokenised(tokenizer, mixed(collect_texts(), 4 * chosen))
    every = np.arange(len(rows))
    budget = bench.scale.batch * bench.longest
    how: dict[str, Any] = {"token_budget": budget, "seed": 0, "collate": bench.collate}
    signals = make_signals(bench.model, bench.optimizer, rows, bench.targets, **how)
    table = np.zeros((len(rows), WIDTH), dtype=np.float16)
    token_features(lambda start, stop: [row["input_ids"] for row in rows[start:stop]], table)

    def decide(decision: int, memory: Memory) -> Judgement:
        signals.new_decision(decision)
        return judge(
            [every],
            np.array([chosen]),
            Probing(ratio=RATIO, floor=0),
            exact=signals.influence,
            features=table.__getitem__,
            memory=memory,
            rng=np.random.default_rng([0, decision]),
        )

    memory, made = Memory(), 0
    for made in range(1, _EARLIER + 1):
        memory = decide(made, memory).memory
    known: list[Judgement] = []

    def some() -> None:
        known.append(decide(made + 1 + len(known), memory))

    taken: list[NDArray[np.float32]] = []

    def everything() -> None:
        signals.new_decision(0)
        taken.append(signals.influence(every))

    ours, full = alternate(some, everything, device=bench.device, repeats=repeats)
    exact = taken[-1]
    best = top(every, exact, chosen)
    ranks = [float(spearmanr(each.scores[~each.exact], exact[~each.exact]).statistic) for each in known]
    shared = [len(np.intersect1d(top(every, each.scores, chosen), best)) / chosen for each in known]
    return ratio(
        Side(label="a quarter", unit="s", values=ours),
        Side(label="all", unit="s", values=full),
        notes=[
            f"{chosen} of {len(every)} chosen, {int(known[-1].exact.sum())} scored",
            f"rank correlation of predicted and exact scores {np.median(ranks):.2f}",
            f"{np.median(shared):.0%} of the chosen are those that exact scores choose",
        ],
    )


MEASURE = Measure(
    name="exact",
    what=f"a decision with exact: {RATIO} ÷ with all, `less`",
    bound=Bound(value=0.25, at_most=True),
    run=run,
)
