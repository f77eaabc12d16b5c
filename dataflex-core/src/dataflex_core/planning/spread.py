"""A choice that does not repeat itself: scores with chance in them, less what a sample was chosen before. Pure numpy.

The top of a prediction is nearly the same samples at each decision, and training on them over and over fits them and
nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataflex_core.config.section import Spread
from dataflex_core.planning.predict import as_table, standardised

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


def limit_of(times: Ids, wanted: int, repeats: int) -> int:
    """How often each of some samples may be chosen, of which ``wanted`` are to be, and that were chosen ``times``.

    ``repeats``, or else as often as it takes for enough of them to be left.
    """
    enough = min(wanted, len(times))
    return max(repeats, int(np.partition(times, enough - 1)[enough - 1]) + 1) if enough else repeats


def spread_scores(
    scores: Scores, times: Ids, spread: Spread, temperature: float, rng: np.random.Generator, *, limits: Ids
) -> Scores:
    """Scores Float32[N] or [N, K], standardised and spread: their top is a draw by exp(score / temperature).

    ``times`` Int64[N] is how often each sample was chosen before; those chosen as often as their ``limits`` Int64[N]
    are NaN, as are those that have no score. The top of scores with Gumbel noise is a draw without replacement
    (arXiv:1903.06059). Draws N numbers from ``rng``.
    """
    table = as_table(scores).astype(np.float64)
    usable = np.isfinite(table).all(axis=1)
    own = np.where(times < limits, temperature * rng.gumbel(size=len(table)) - spread.penalty * times, np.nan)
    found = np.full(table.shape, np.nan)
    if usable.any():
        found[usable] = standardised(table[usable]) + own[usable, None]
    return found.astype(np.float32).reshape(scores.shape)
