"""Scores of many samples, predicted from the exact scores of a few: a ridge regression from features of samples.

A score that takes a gradient costs as much as training on the sample; its features cost nothing. What was scored at
earlier decisions counts, too, with a weight that fades (after MATES, arXiv:2406.06046, which trains a transformer for
it). Pure functions of their arguments; numpy, and scikit-learn where it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]
Floats = NDArray[np.floating]
Features = Callable[[Ids], Floats]
"""Features Float[n, d] of samples Int64[n]: the same at every decision."""

FADING = 0.7
"""The weight of a score of the decision before, beside one of this decision."""
RIDGE = 1.0
"""The regression's penalty, for features of length one."""
_BLOCK = 2048  # samples whose features stay in a processor's cache
_MOST = 8192  # scores that are remembered: the latest, and of one decision's some at random
_FAINT = 0.01  # below this weight they are forgotten


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """Samples that were scored, at this decision and at earlier ones.

    ``ids`` Int64[n], in the order of ``decisions`` Int64[n], which count those that scored, from 1; ``scores``
    Float32[n, K] are standardised within their decision, and finite.
    """

    ids: Ids = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    scores: Scores = field(default_factory=lambda: np.empty((0, 1), dtype=np.float32))
    decisions: Ids = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def next(self) -> int:
        """The number of the next decision. Not the schedule's, which another schedule numbers otherwise."""
        return int(self.decisions.max(initial=0)) + 1

    def with_scores(self, ids: Ids, scores: Scores) -> Memory:
        """And of the `next` decision, samples Int64[n] with scores Float32[n] or [n, K]: those without NaN."""
        table, now = as_table(scores), self.next
        usable = finite_rows(table)
        standard = standardised(table[usable]) if usable.any() else table[:0]
        old = (FADING ** (now - self.decisions) >= _FAINT) & (self.scores.shape[1] == table.shape[1])
        decisions = np.concatenate([self.decisions[old], np.full(usable.sum(), now)])
        kept = _latest(decisions, seed=now)
        return Memory(
            ids=np.concatenate([self.ids[old], ids[usable]])[kept],
            scores=np.concatenate([self.scores[old].reshape(-1, table.shape[1]), standard])[kept].astype("f4"),
            decisions=decisions[kept],
        )

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"ids": self.ids, "scores": self.scores, "decisions": self.decisions}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Memory:
        """What `state` gave."""
        return cls(**state)


class Regression:
    """Standardised scores of samples, by a ridge regression on their features."""

    def __init__(self, memory: Memory, features: Features, decision: int) -> None:
        """Fit to a memory, which is not empty; a score counts less for each decision that it is older."""
        from sklearn.linear_model import Ridge  # type: ignore[import-untyped]  # scikit-learn has no types

        ridge = Ridge(alpha=RIDGE, solver="cholesky")
        weights = FADING ** (decision - memory.decisions)
        ridge.fit(features(memory.ids).astype(np.float64), memory.scores.astype(np.float64), sample_weight=weights)
        self._features = features
        self._weights = ridge.coef_.reshape(memory.scores.shape[1], -1).astype(np.float32)
        self._offset = np.asarray(ridge.intercept_, dtype=np.float32).reshape(-1)

    def __call__(self, ids: Ids) -> Scores:
        """Predictions Float32[n, K] for samples Int64[n]: each the same, whatever others it is asked about with."""
        found = np.empty((len(ids), len(self._weights)), dtype=np.float32)
        for start in range(0, len(ids), _BLOCK):
            part = slice(start, start + _BLOCK)
            # A product of matrices rounds by their shapes.
            found[part] = np.einsum(
                "nd,kd->nk", self._features(ids[part]).astype(np.float32, copy=False), self._weights
            )
        return found + self._offset


def brought_to(predicted: Scores, exact: Scores) -> Scores:
    """Predictions Float32[n, K] with the mean and spread of exact scores Float32[m, K]: a regression's vary less.

    NaN among the exact ones count for nothing; where all are NaN, so are the predictions.
    """
    usable = exact[finite_rows(exact)]
    if len(usable) == 0:
        return np.full_like(predicted, np.nan)
    brought: Scores = standardised(predicted) * usable.std(axis=0) + usable.mean(axis=0)
    return brought.astype(np.float32)


def rank_correlation(predicted: Scores, exact: Scores) -> float:
    """Spearman's rank correlation of Float32[n, K] with Float32[n, K], the least of the columns.

    Of samples without NaN; NaN where there are fewer than three, or a column is constant.
    """
    from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy has no types

    usable = finite_rows(exact)
    least = 1.0
    for guess, score in zip(predicted[usable].T, exact[usable].T, strict=True):
        if len(score) < 3 or np.ptp(guess) == 0 or np.ptp(score) == 0:
            return float("nan")
        least = min(least, float(spearmanr(guess, score).statistic))
    return least


def as_table(scores: Scores) -> Scores:
    """Float32[n] as [n, 1]; [n, K] as it is."""
    return scores[:, None] if scores.ndim == 1 else scores


def finite_rows(table: Floats) -> NDArray[np.bool_]:
    """Which rows of Float[n, K] are whole, Bool[n]: without NaN and infinities."""
    return np.asarray(np.isfinite(table).all(axis=1), dtype=np.bool_)


def standardised(table: Floats) -> NDArray[np.float64]:
    """Columns of mean 0 and standard deviation 1; of zeros where one is constant, but for how float32 rounds."""
    wide = np.asarray(table, dtype=np.float64)
    spread, size = wide.std(axis=0), np.abs(wide).max(axis=0, initial=0.0)
    varies = spread > np.finfo(np.float32).eps * size
    standard: NDArray[np.float64] = np.where(varies, (wide - wide.mean(axis=0)) / np.where(varies, spread, 1), 0.0)
    return standard


def _latest(decisions: Ids, *, seed: int) -> Ids:
    """The places, ascending, of the scores that are kept: of the latest ``decisions`` Int64[n], of one's at random."""
    if len(decisions) <= _MOST:
        return np.arange(len(decisions))
    order = np.lexsort((np.random.default_rng(seed).random(len(decisions)), -decisions))
    return np.sort(order[:_MOST])
