"""The features of the pool's samples that scores are predicted from, made when a decision first asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.collectives import Ranks
from dataflex_core.errors import RunFailed
from dataflex_core.planning.token_features import (
    VERSION,
    WIDTH,
    read_token_features,
    token_features,
    write_token_features,
)
from dataflex_core.scoring.fingerprint import digest_of_samples
from dataflex_core.wording import one_line

Ids = NDArray[np.int64]
_TOKENS = "input_ids"


class PoolFeatures:
    """Features Float16[n, 512] of samples Int64[n], by their tokens.

    They lie in ``folder``, named by the data and the seed, so that a run that goes on finds them; rank 0 makes them,
    and another one where it does not see that folder. Without a folder each rank holds them in memory.
    """

    def __init__(self, pool: Any, seed: int, *, folder: Path | None, ranks: Ranks) -> None:
        self._pool, self._seed, self._folder, self._ranks = pool, seed, folder, ranks
        self._table: NDArray[np.float16] | None = None

    def __call__(self, ids: Ids) -> NDArray[np.float16]:
        """Collective at the first call. Raises `RunFailed` where they cannot be written."""
        if self._table is None:
            self._table = self._in_memory() if self._folder is None else self._on_disk(self._folder)
        return self._table[ids]

    def _in_memory(self) -> NDArray[np.float16]:
        table = np.zeros((len(self._pool), WIDTH), dtype=np.float16)
        token_features(self._tokens, table, seed=self._seed)
        return table

    def _on_disk(self, folder: Path) -> NDArray[np.float16]:
        path = folder / f"tokens-{VERSION}-{self._seed}-{digest_of_samples(self._pool)[:16]}.npy"
        for turn in (self._ranks.rank == 0, True):
            if turn and not path.is_file():
                self._write(path)
            self._ranks.largest(0)  # waits for all
        return read_token_features(path)

    def _write(self, path: Path) -> None:
        try:
            write_token_features(path, self._tokens, len(self._pool), seed=self._seed)
        except OSError as error:
            raise RunFailed(
                f"{path} could not be written: {error.strerror or one_line(error)}",
                hint="make room; dataflex run … --resume goes on from the last checkpoint",
            ) from error

    def _tokens(self, start: int, stop: int) -> list[Any]:
        return list(self._pool[start:stop][_TOKENS])
