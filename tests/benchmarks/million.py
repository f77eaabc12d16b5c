"""`million`: how long predicting the scores of a pool of a million samples takes."""

from __future__ import annotations

import numpy as np

from benchmarks.bench import Bench
from benchmarks.clock import now
from benchmarks.measure import Bound, Finding, Measure, Side
from dataflex_core.planning.feature_tables import Table, read_table, side_by_side, write_table
from dataflex_core.planning.predict import Memory, Regression

SIZE, WIDTH = 1_000_000, 512
_SCORED, _REPEATED = 2000, 10_000


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds of a regression's fit to 2000 scores and of its prediction of all samples, from both kinds of features.

    The features, which are of any numbers here, are read from files.
    """
    tables = []
    for kind in range(2):
        path = bench.folder / "million" / f"{kind}.npy"
        write_table(path, SIZE, WIDTH, lambda table, seed=kind: _fill(table, seed))  # type: ignore[misc]  # a default
        tables.append(read_table(path))
    rng = np.random.default_rng(2)
    scored = np.sort(rng.choice(SIZE, _SCORED, replace=False))
    memory = Memory().with_scores(scored, rng.standard_normal(_SCORED).astype(np.float32))
    every, seconds = np.arange(SIZE), []
    Regression(memory, lambda ids: tables[0][ids], 1)  # what fits it is imported
    for _ in range(repeats):
        start = now(bench.device)
        Regression(memory, lambda ids: side_by_side([table[ids] for table in tables]), 1)(every)
        seconds.append(now(bench.device) - start)
    size = sum(path.stat().st_size for path in (bench.folder / "million").iterdir()) / SIZE
    return Finding(
        value=float(np.median(seconds)),
        repeats=tuple(seconds),
        sides=(Side(label="prediction", unit="s", values=tuple(seconds)),),
        notes=(f"{size:,.0f} bytes a sample on disk",),
    )


def _fill(table: Table, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((_REPEATED, WIDTH)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for start in range(0, len(table), _REPEATED):
        table[start : start + _REPEATED] = rows


MEASURE = Measure(
    name="million",
    what="seconds to predict a pool of a million samples, by both kinds of features",
    bound=Bound(value=10, at_most=True),
    run=run,
)
