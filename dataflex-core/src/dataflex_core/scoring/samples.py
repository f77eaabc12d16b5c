"""Samples that signals are computed of, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.rows import Origins, Row
from dataflex_core.scoring.answer_files import KEY
from dataflex_core.scoring.batching import lengths_of, target_tokens_of
from dataflex_core.scoring.feed import Feed
from dataflex_core.scoring.fingerprint import digest_of_samples
from dataflex_core.scoring.sample_keys import Keys, keys_of

Ids = NDArray[np.int64]


class Batch(dict[str, Any]):
    """Collated samples, on the training device. ``alone`` collates one of them anew, by its place in the batch.

    What belongs to which sample only the collator knows: images of one lie in a tensor with those of others.
    ``on_host`` are the tensors before they were placed on the device: what they say is known without waiting for it.
    """

    def __init__(
        self, tensors: Mapping[str, Any], alone: Callable[[int], Batch], on_host: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(tensors)
        self.alone = alone
        self.on_host = {} if on_host is None else on_host


@dataclass(slots=True, kw_only=True, eq=False)
class Samples:
    """A map-style data set of tokenised samples, with their lengths and their digest, read once.

    ``name`` is what people read after "of": "the pool". ``origins`` are the rows that they were made of, None where
    nobody knows; they are a strategy's ``own``, or the run's. ``dealt`` is the last shard that was taken, and its
    batches; ``feed`` loads their batches, once a pass has been made.
    """

    name: str
    dataset: Any
    origins: Origins | None = None
    own: bool = False
    dealt: tuple[Ids, list[Ids]] | None = field(default=None, init=False)
    feed: Feed | None = field(default=None, init=False)
    _lengths: NDArray[np.int64] | None = field(default=None, init=False)
    _target_tokens: NDArray[np.int64] | None = field(default=None, init=False)
    _digest: str | None = field(default=None, init=False)
    _keys: Keys | None = field(default=None, init=False)
    _keyed: NDArray[np.int8] | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, Int64[N]."""
        if self._lengths is None:
            self._lengths = lengths_of(self.dataset)
        return self._lengths

    def target_tokens(self) -> NDArray[np.int64]:
        """Target tokens of each sample, Int64[N]."""
        if self._target_tokens is None:
            self._target_tokens = target_tokens_of(self.dataset)
        return self._target_tokens

    def rows(self, ids: Ids) -> list[tuple[Row, ...]]:
        """The rows that samples were made of; none of a strategy's own. Raises `DataError` where nobody knows."""
        if self.own:
            return [() for _ in ids]
        found = [None if self.origins is None else self.origins.of(int(i)) for i in ids]
        if any(rows is None for rows in found):
            raise DataError(
                f"nobody knows which rows the samples of {self.name} were made of",
                hint="point tokenized_path at a folder that does not exist yet: what DataFlex saves there, it knows",
            )
        return [rows for rows in found if rows is not None]

    def digest(self) -> str:
        """Digest of the samples' content, for which all of them are read."""
        if self._digest is None:
            self._digest = digest_of_samples(self.dataset)
        return self._digest

    def keys(self, ids: Ids) -> tuple[Keys, NDArray[np.bool_]]:
        """The keys of some samples, S16[n], and which have one, Bool[n], as `keys_of`: read once, when asked for."""
        if self._keys is None or self._keyed is None:
            # Zeros take no memory until they are written: of a large pool only what is asked for does.
            self._keys, self._keyed = np.zeros(len(self), dtype=KEY), np.zeros(len(self), dtype=np.int8)
        unread = np.unique(ids[self._keyed[ids] == 0])
        if len(unread):
            self._keys[unread], known = keys_of(self.dataset, unread)
            self._keyed[unread] = np.where(known, 1, -1)
        return self._keys[ids], self._keyed[ids] == 1
