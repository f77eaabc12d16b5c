"""A choice that does not repeat itself: scores with chance in them, less what a sample was chosen before. Pure numpy.

The top of a prediction is nearly the same samples at each decision, and training on them over and over fits them and
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from typing_extensions import Doc

from dataflex_core.planning.predict import as_table, standardised

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a choice is spread, in standard deviations of the candidates' scores."""

    temperature: Annotated[float, Ge(0), Doc("how much chance there is in a choice (Gumbel); 0: none")] = 0.5
    repeats: Annotated[int, Gt(0), Doc("how often a sample may be chosen in a run")] = 3
    penalty: Annotated[float, Ge(0), Doc("what each time that it was chosen before takes from its score")] = 1.0
    rise: Annotated[float, Gt(0), Doc("the temperature of the last decision, as a multiple of the first's")] = 1.0

    def temperature_at(self, decision: int, decisions: int) -> float:
        """At a decision, from 1, of ``decisions``: it changes by the same step each time."""
        share = (decision - 1) / (decisions - 1) if decisions > 1 else 0.0
        return self.temperature * (1 + (self.rise - 1) * share)


def spread_scores(scores: Scores, times: Ids, spread: Spread, temperature: float, rng: np.random.Generator) -> Scores:
    """Scores Float32[N] or [N, K], standardised and spread: their top is a draw by exp(score / temperature).

    ``times`` Int64[N] is how often each sample was chosen before; those chosen ``spread.repeats`` times are NaN, as are
    those that have no score. The top of scores with Gumbel noise is a draw without replacement (arXiv:1903.06059).
    Draws N numbers from ``rng``.
    """
    table = as_table(scores).astype(np.float64)
    usable = np.isfinite(table).all(axis=1)
    own = np.where(times < spread.repeats, temperature * rng.gumbel(size=len(table)) - spread.penalty * times, np.nan)
    found = np.full(table.shape, np.nan)
    if usable.any():
        found[usable] = standardised(table[usable]) + own[usable, None]
    return found.astype(np.float32).reshape(scores.shape)
