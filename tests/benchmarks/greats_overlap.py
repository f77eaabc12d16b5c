"""`greats-overlap`: what a greedy choice loses where products of samples are estimated from projections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.bank_rank import DIM, SEEDS
from benchmarks.bench import Bench
from benchmarks.measure import Bound, Finding, Measure, Side
from dataflex_strategies.selectors.greats import greedy

SHARE = 4
"""One of so many samples is chosen."""


def run(bench: Bench, repeats: int) -> Finding:
    """The share of a choice by exact products that is in one by estimates, too: the lowest of three seeds.

    The learning rate is one at which the first sample taken costs its like as much as it is worth.
    """
    ids = np.arange(len(bench.pool))
    signals, count = bench.signals(), len(ids) // SHARE
    scores = signals.alignments(ids).mean(axis=1).astype(np.float64)
    products = signals.products(ids, ids).astype(np.float64)
    rate = float(scores.max() / products.max())
    exact = greedy(scores, rate * products, count)

    def overlap(seed: int) -> float:
        rows = bench.signals(seed=seed).gradients(ids, dim=DIM, unit=False, keep_targets=False).astype(np.float64)
        return _share(exact, greedy(scores, rate * rows @ rows.T, count))

    found = tuple(map(overlap, SEEDS))
    top = np.argsort(-scores, kind="stable")[:count]
    return Finding(
        value=min(found),
        repeats=found,
        sides=(Side(label="chosen", unit=f"of {len(ids)} samples", values=(count,)),),
        notes=(f"the samples of the highest scores alone, without products: {_share(exact, top):.3f}",),
    )


def _share(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return len(np.intersect1d(one, other)) / len(one)


MEASURE = Measure(
    name="greats-overlap",
    what=f"share of a greedy choice that estimated products (d = {DIM}) keep, lowest of {len(SEEDS)} seeds",
    bound=Bound(value=0.9, at_most=False),
    run=run,
)
