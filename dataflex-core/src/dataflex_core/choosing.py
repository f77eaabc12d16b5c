"""Ways to choose by a score, for authors of selectors. numpy is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


def top(candidates: Ids, scores: NDArray[np.float32], count: int) -> Ids:
    """The ``count`` candidates with the highest scores, best first; NaN never, ties by lower index.

    ``candidates`` Int64[N] have ``scores``, numbers or booleans [N]. Raises `ValueError` where that is not one each.
    """
    if scores.shape != candidates.shape:
        raise ValueError(f"scores of shape {scores.shape} for {len(candidates)} candidates")
    scores = scores.astype("f8")  # no integer is its own negative
    order = (-scores).argsort(kind="stable")[:count]
    # NaN sorts last and differs from itself; numpy is not imported here.
    chosen: Ids = candidates[order[scores[order] == scores[order]]]
    return chosen


def gumbel_top(
    candidates: Ids, log_weights: NDArray[np.floating], count: int, rng: np.random.Generator, temperature: float = 1.0
) -> Ids:
    """A weighted draw of ``count`` candidates without replacement, first drawn first (Gumbel top-k, arXiv:1903.06059).

    ``candidates`` Int64[N] are drawn in proportion to ``exp(log_weights / temperature)``, Float[N], one after the
    other. NaN and -inf are never drawn, so that fewer may come back. Draws N numbers from ``rng`` whatever N holds.
    """
    import numpy as np

    keys = np.asarray(log_weights, dtype=np.float64) / temperature + rng.gumbel(size=len(candidates))
    order = np.argsort(-keys, kind="stable")[:count]
    chosen: Ids = candidates[order[keys[order] > -np.inf]]
    return chosen
