"""Domains of the pool: which one a sample is of, and figures by domain. numpy is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One data set of the run: samples ``start`` to ``start + size - 1`` of the pool."""

    name: str
    start: int
    size: int


def domain_of(domains: Sequence[Domain], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in ``domains`` of the domains that samples are of, Int64[n] for ``ids`` Int64[n]."""
    import numpy as np

    ends = np.array([domain.start + domain.size for domain in domains], dtype=np.int64)
    found: NDArray[np.int64] = np.searchsorted(ends, ids, side="right")
    return found


def sum_by_domain(domains: Sequence[Domain], ids: NDArray[np.int64], values: ArrayLike) -> NDArray[np.float64]:
    """Sums of ``values`` [n], one for each of ``ids`` Int64[n], Float64[K]; NaN counts for nothing."""
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    known = np.where(np.isnan(given), 0.0, given)
    sums = np.zeros(len(domains))
    np.add.at(sums, domain_of(domains, ids), known)
    return sums


def count_by_domain(domains: Sequence[Domain], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of ``ids`` Int64[n] are of each domain, Int64[K]."""
    import numpy as np

    return np.bincount(domain_of(domains, ids), minlength=len(domains)).astype(np.int64)


def mean_by_domain(domains: Sequence[Domain], ids: NDArray[np.int64], values: ArrayLike) -> NDArray[np.float64]:
    """Means of ``values`` [n], one for each of ``ids`` Int64[n], Float64[K]: of those that are no NaN, else NaN."""
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(given)
    counts = count_by_domain(domains, ids[known])
    means: NDArray[np.float64] = np.divide(
        sum_by_domain(domains, ids, given), counts, out=np.full(len(domains), np.nan), where=counts > 0
    )
    return means
