"""Samples that signals are computed of, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.scoring.batching import lengths_of
from dataflex_core.scoring.fingerprint import digest_of_samples

Ids = NDArray[np.int64]
Batch = dict[str, Any]
"""Collated samples, on the training device."""


@dataclass(slots=True, kw_only=True, eq=False)
class Samples:
    """A map-style data set of tokenised samples, with their lengths and their digest, read once.

    ``name`` is what people read after "of": "the pool". ``dealt`` is the last shard that was taken, and its batches.
    """

    name: str
    dataset: Any
    dealt: tuple[Ids, list[Ids]] | None = field(default=None, init=False)
    _lengths: NDArray[np.int64] | None = field(default=None, init=False)
    _digest: str | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, Int64[N]."""
        if self._lengths is None:
            self._lengths = lengths_of(self.dataset)
        return self._lengths

    def digest(self) -> str:
        """Digest of the samples' content, for which all of them are read."""
        if self._digest is None:
            self._digest = digest_of_samples(self.dataset)
        return self._digest
