"""A decision that scores a probe of its candidates and predicts the rest. Pure; numpy only.

Each part of a probe is predicted before it is scored, and the rank correlation of the two tells how good the prediction
is. Where it is too low as many samples again are scored, until it is not, or until all are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflex_core.planning.predict import (
    Features,
    Memory,
    Regression,
    as_table,
    brought_to,
    finite_rows,
    rank_correlation,
)
from dataflex_core.planning.quotas import quotas
from dataflex_core.shares import rounded_up

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]

Dealt = Callable[[Callable[[Ids], Scores], Ids], Scores]
"""``dealt(predict, ids)`` is ``predict(ids)``, Float32[n, K]."""

SMALLEST = 32
"""Samples that a probe has at least: the rank correlation of fewer says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """How: ``ratio`` x the samples chosen are scored, and more while the rank correlation is under ``floor``.

    Not where that is all that is ``paid`` for: then the prediction is used, poor as it is.
    """

    ratio: float
    floor: float
    paid: bool = False

    def size(self, chosen: int) -> int:
        """Samples of the probe of a decision that chooses ``chosen``."""
        return max(SMALLEST, rounded_up(self.ratio * chosen))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """Scores Float32[N] or [N, K] of all candidates, ``exact`` Bool[N] of them the strategy's own.

    ``correlation`` is that of the last part of the probe with its prediction; NaN where none could be taken.
    ``memory`` is for the next decision.
    """

    scores: Scores
    exact: NDArray[np.bool_]
    correlation: float
    memory: Memory


class Deck:
    """Candidates in a random order: of each group, in proportion to how many of it are ``wanted`` Int64[groups]."""

    def __init__(self, groups: Sequence[Ids], wanted: Ids, rng: np.random.Generator) -> None:
        self._left = [rng.permutation(group) for group in groups]
        self._wanted = wanted

    def draw(self, count: int) -> Ids:
        """The next ``count`` samples, or all that are left, ascending."""
        taken = quotas(self._wanted, count, [len(group) for group in self._left])
        drawn = [group[:n] for group, n in zip(self._left, taken, strict=True)]
        self._left = [group[n:] for group, n in zip(self._left, taken, strict=True)]
        return np.sort(np.concatenate(drawn))


def holds(correlation: float, samples: int, floor: float) -> bool:
    """Whether a rank correlation over that many samples is above ``floor`` by more than its standard error."""
    return samples > 2 and correlation - (samples - 1) ** -0.5 >= floor


def judge(
    groups: Sequence[Ids],
    wanted: Ids,
    probing: Probing,
    *,
    exact: Callable[[Ids], Scores],
    features: Features,
    memory: Memory,
    rng: np.random.Generator,
    able: Callable[[Ids], NDArray[np.bool_]] = lambda ids: np.ones(len(ids), dtype=np.bool_),
    dealt: Dealt = lambda predict, ids: predict(ids),
) -> Judgement:
    """Scores of the candidates of all ``groups``, of each of which ``wanted`` Int64[groups] (>= 1) are to be chosen.

    ``exact`` scores samples Int64[n], ascending, and is asked about none twice: where all end up scored they have cost
    what they cost without a prediction. The first probe of a run is scored in halves, the second of which is predicted
    from the first. ``able`` says which samples Int64[n] can have a score, Bool[n]: of the others it is NaN, and nobody
    is asked. ``dealt`` has the ranks predict a part each.
    """
    every = np.sort(np.concatenate(groups))
    groups = [group[able(group)] for group in groups]
    deck, goal, left = Deck(groups, wanted, rng), probing.size(int(wanted.sum())), np.sort(np.concatenate(groups))
    ids, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    known, now, correlation = memory, memory.next, float("nan")
    while len(left):
        part = deck.draw(goal - len(ids) if len(known) else -(-goal // 2))
        guess = dealt(Regression(known, features, now), part) if len(known) else None
        answer = exact(part)
        ids, scores = np.concatenate([ids, part]), np.concatenate([scores, answer]) if len(ids) else answer
        left = np.setdiff1d(left, part, assume_unique=True)
        known = memory.with_scores(*_sorted(ids, scores))
        correlation = float("nan") if guess is None else rank_correlation(guess, as_table(answer))
        if len(ids) >= goal:
            if len(known) and (probing.paid or holds(correlation, _scored(answer), probing.floor)):
                break
            goal = 2 * len(ids)
    judged = np.full((len(every), *scores.shape[1:]), np.nan, dtype=np.float32)
    judged[np.searchsorted(every, ids)] = scores
    if len(left):
        guess = brought_to(dealt(Regression(known, features, now), left), as_table(scores))
        judged[np.searchsorted(every, left)] = guess.reshape(-1, *scores.shape[1:])
    return Judgement(scores=judged, exact=np.isin(every, ids), correlation=correlation, memory=known)


def _scored(answer: Scores) -> int:
    """How many of the samples have a score."""
    return int(finite_rows(as_table(answer)).sum())


def _sorted(ids: Ids, scores: Scores) -> tuple[Ids, Scores]:
    order = np.argsort(ids)
    return ids[order], scores[order]
