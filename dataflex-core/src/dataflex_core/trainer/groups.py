"""By what a run tells figures of samples: its domains, or the data sets of data that it has in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflex_core.domains import Domain, domain_of
from dataflex_core.rows import Origins

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Samples by group; ``codes`` Int32[pool] says which one each is of, None where ``domains`` say it."""

    names: tuple[str, ...]
    domains: tuple[Domain, ...] = ()
    codes: NDArray[np.int32] | None = None

    def of(self, ids: Ids) -> Ids:
        """Positions in ``names``, Int64[n], of samples ``ids`` Int64[n]."""
        return domain_of(self.domains, ids) if self.codes is None else self.codes[ids].astype(np.int64)


def groups_of(domains: Sequence[Domain], origins: Origins | None) -> Groups:
    """The domains; where there is but one, the data sets that ``origins`` has samples of, if it knows of all."""
    found = None if origins is None or len(domains) > 1 else _data_sets(origins)
    if found is not None and len(found.codes if found.codes is not None else ()) == sum(d.size for d in domains):
        return found
    return Groups(names=tuple(domain.name for domain in domains), domains=tuple(domains))


def _data_sets(origins: Origins) -> Groups | None:
    if not len(origins) or (np.diff(origins.starts) < 1).any():
        return None
    first = origins.rows[origins.starts[:-1]]  # of packed rows the first
    if (first < 0).any():
        return None
    names = tuple(dict.fromkeys(source.dataset for source in origins.sources))
    ends = np.cumsum([source.size for source in origins.sources])
    of_sources = np.array([names.index(source.dataset) for source in origins.sources], dtype=np.int32)
    return Groups(names=names, codes=of_sources[np.searchsorted(ends, first, side="right")])
