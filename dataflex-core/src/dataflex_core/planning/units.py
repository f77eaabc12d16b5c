"""Shares of samples and shares of target tokens, one made of the other. Pure; numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataflex_core.domains import Domain, mean_by_domain
from dataflex_core.errors import DataError

Shares = NDArray[np.float64]


def sample_shares(token_shares: ArrayLike, mean_tokens: ArrayLike) -> Shares:
    """The shares of samples, Float64[K] of sum one, that give domains these shares of the target tokens.

    q_k = (p_k / m_k) / Σ_j (p_j / m_j), with m_k > 0 the mean target tokens of a sample of domain k.
    """
    return _normalised(np.asarray(token_shares, dtype=np.float64) / np.asarray(mean_tokens, dtype=np.float64))


def token_shares(sample_shares: ArrayLike, mean_tokens: ArrayLike) -> Shares:
    """The shares of target tokens that shares of samples come to: the inverse of `sample_shares`."""
    return _normalised(np.asarray(sample_shares, dtype=np.float64) * np.asarray(mean_tokens, dtype=np.float64))


def mean_tokens_of(domains: Sequence[Domain], tokens: NDArray[np.int64]) -> tuple[float, ...]:
    """The mean target tokens of a sample of each domain, of the ``tokens`` Int64[pool] of all samples.

    An empty domain has those of the pool. Raises `DataError` where all samples of a domain have none.
    """
    means = mean_by_domain(domains, np.arange(len(tokens)), tokens)
    if none := [domain.name for domain, mean in zip(domains, means, strict=True) if mean == 0]:
        raise DataError(
            f"domain {none[0]} has no target token, and dataflex.unit shares out target tokens",
            hint="leave it out of dataset, or set dataflex.unit: samples",
        )
    return tuple(np.where(np.isnan(means), tokens.mean() if len(tokens) else 1.0, means).tolist())


def _normalised(parts: Shares) -> Shares:
    shares: Shares = parts / parts.sum()
    return shares
