"""Exponentiated gradients: proportions that grow by a factor, as several mixers' do. Pure; numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

STEEPEST = 1e300
"""A factor of scores beyond which nothing changes, and products would be infinite."""


def raised(shares: ArrayLike, scores: ArrayLike, *, eta: float, smoothing: float) -> NDArray[np.float64]:
    """Float64[K] of sum one: ``shares · exp(eta · scores)``, normalised, then ``smoothing`` of it spread evenly.

    ``shares`` [K] are finite and >= 0, one of them more than zero; ``scores`` [K] are finite.
    """
    import numpy as np

    before, scored = np.asarray(shares, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    there = before > 0
    behind = np.minimum(scored - scored[there].max(), 0)  # a constant factor cancels
    grown = np.where(there, before * np.exp(min(eta, STEEPEST) * behind), 0)
    made: NDArray[np.float64] = (1 - smoothing) * grown / grown.sum() + smoothing / len(grown)
    return made
