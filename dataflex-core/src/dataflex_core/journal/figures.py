"""Figures about what a run decided, as trackers and reports give them: pure functions of numbers, without torch.

A figure that the numbers do not give is None, and never a NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MOST = 100_000
"""Pairs that a rank correlation looks at: of more, every so many-th."""


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    """Each count as a share of all; empty where there is nothing."""
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total > 0 else {}


def enrichment(chosen: Mapping[str, float], pool: Mapping[str, float]) -> dict[str, float]:
    """By how much each domain, or band, has a larger share of what was chosen than of the pool: 1 is as by chance.

    Those that the pool has nothing of are left out.
    """
    taken, there = shares(chosen), shares(pool)
    return {name: taken.get(name, 0.0) / share for name, share in there.items() if share > 0}


def epochs(trained: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, float]:
    """How often each domain was seen: samples trained on ÷ its size. Empty domains are left out."""
    return {name: trained.get(name, 0) / size for name, size in sizes.items() if size}


def overlap(one: ArrayLike, other: ArrayLike) -> float | None:
    """The Jaccard index of two choices, as sets of ids: 1 where they are the same, 0 where they share nothing."""
    these, those = np.unique(np.asarray(one)), np.unique(np.asarray(other))
    common = len(np.intersect1d(these, those, assume_unique=True))
    every = len(these) + len(those) - common
    return common / every if every else None


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float | None:
    """Spearman's, of pairs of which neither is NaN; None where one side is constant, or fewer than two are left.

    Of more than 100,000 pairs, every so many-th is looked at.
    """
    these, those = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    step = -(-len(these) // _MOST) or 1
    these, those = these[::step], those[::step]
    known = np.isfinite(these) & np.isfinite(those)
    first, second = _ranks(these[known]), _ranks(those[known])
    if len(first) < 2 or not first.any() or not second.any():
        return None
    return float((first @ second) / np.sqrt((first @ first) * (second @ second)))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks around a mean of 0; values that are the same share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places] - (len(values) + 1) / 2
    return ranks


def largest(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scores Float[n] as they are; of several a sample, Float[n, K], each one's largest that is a number."""
    one: NDArray[np.floating] = scores if scores.ndim == 1 else np.fmax.reduce(scores, axis=1)
    return one


def spread(values: ArrayLike) -> tuple[float, float] | None:
    """Mean and standard deviation of those that are finite, or None."""
    given = np.asarray(values, dtype=np.float64)
    known = given[np.isfinite(given)]
    return (float(known.mean()), float(known.std())) if len(known) else None


def effective_share(count: float, total: float, squares: float) -> float | None:
    """The effective sample size of ``count`` weights (Kish, 1965), as a share of them: 1 where all weigh the same.

    ``total`` is their sum, ``squares`` that of their squares; any of it may be a tensor.
    """
    return total * total / (count * squares) if squares > 0 else None


def break_even(cost: float, steps: float) -> float | None:
    """How many random samples a chosen one must be worth: ``cost`` is in training steps, for ``steps`` chosen for."""
    return 1 + cost / steps if steps > 0 else None


def rounded(figure: float | None) -> float | None:
    """To a thousandth, for a journal."""
    return None if figure is None else round(figure, 3)


def finite(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers, as floats: a journal holds no others."""
    return {name: float(v) for name, v in figures.items() if isinstance(v, Real) and np.isfinite(float(v))}
