"""The features of the pool's samples that scores are predicted from, made when a decision first asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataflex_core.collectives import Ranks
from dataflex_core.errors import RunFailed
from dataflex_core.planning.feature_tables import Table, read_table, side_by_side, standardise, write_table
from dataflex_core.planning.token_features import VERSION, WIDTH, token_features
from dataflex_core.scoring.fingerprint import digest_of_samples
from dataflex_core.scoring.model_signals import ModelSignals, StartStates
from dataflex_core.wording import one_line

Ids = NDArray[np.int64]
_TOKENS = "input_ids"
_BLOCK = 32768  # samples whose states are gathered at once


class PoolFeatures:
    """Features Float[n, d] of samples Int64[n]: by their tokens, by the states of the starting model, or by ``both``.

    Tables lie in ``folder``, named by what they depend on, so that a run that goes on finds them; rank 0 writes them,
    and another one where it does not see that folder. Without a folder each rank holds them in memory. ``signals``
    gives the signals of the pool.
    """

    def __init__(
        self,
        pool: Any,
        seed: int,
        *,
        kind: Literal["tokens", "start", "both"],
        signals: Callable[[], ModelSignals],
        folder: Path | None,
        ranks: Ranks,
    ) -> None:
        self._pool, self._seed, self._kind, self._signals = pool, seed, kind, signals
        self._folder, self._ranks = folder, ranks
        self._tables: list[Table] | None = None
        self._passed, self._told = 0, False

    def __call__(self, ids: Ids) -> NDArray[Any]:
        """Collective at the first call. Raises `RunFailed` where they cannot be written."""
        if self._tables is None:
            made = {"tokens": [self._of_tokens], "start": [self._of_start]}
            self._tables = [make() for make in made.get(self._kind, [self._of_tokens, self._of_start])]
        return side_by_side([table[ids] for table in self._tables])

    def passed(self) -> int:
        """Samples that took a forward pass, over all ranks: once, after the first call. Collective then."""
        if self._tables is None or self._kind == "tokens" or self._told:
            return 0
        self._told = True
        return int(np.sum(self._ranks.gather_arrays(np.array([self._passed]))))

    def _of_tokens(self) -> Table:
        name = f"tokens-{VERSION}-{self._seed}-{self._digest()}.npy"
        return self._table(name, WIDTH, lambda table: token_features(self._tokens, table, seed=self._seed))

    def _of_start(self) -> Table:
        none = self._states(np.empty(0, dtype=np.int64))
        name = f"start-{none.key}-{self._digest()}.npy"
        table = self._table(name, none.rows.shape[1], self._fill, self._look_through)
        self._signals().forget_start()
        return table

    def _fill(self, table: Table) -> None:
        """With the standardised states of the pool. Collective."""
        for ids, rows in self._every_state():
            table[ids] = rows
        standardise(table)

    def _look_through(self) -> None:
        """What ranks do that do not write while another one does."""
        for _ in self._every_state():
            pass

    def _every_state(self) -> Iterator[tuple[Ids, NDArray[np.float32]]]:
        signals, size = self._signals(), len(self._pool)
        for start in range(0, size, _BLOCK):
            ids = np.arange(start, min(start + _BLOCK, size), dtype=np.int64)
            shard = signals.shard(ids)
            yield ids, signals.gather(ids, shard, self._states(shard).rows)

    def _states(self, shard: Ids) -> StartStates:
        found = self._signals().start_states(shard)
        self._passed += found.passed
        return found

    def _table(
        self, name: str, width: int, fill: Callable[[Table], None], meanwhile: Callable[[], None] = lambda: None
    ) -> Table:
        """The table of that name, from the folder or from memory, filled by who has to.

        ``meanwhile`` is called by all others, where it takes all of them.
        """
        if self._folder is None:
            table: Table = np.zeros((len(self._pool), width), dtype=np.float16)
            fill(table)
            return table
        path = self._folder / name
        for turn in (self._ranks.rank == 0, True):
            writes = turn and not path.is_file()
            if self._ranks.largest(int(writes)):
                if writes:
                    self._write(path, width, fill)
                else:
                    meanwhile()
                self._ranks.largest(0)  # waits for all
        return read_table(path)

    def _write(self, path: Path, width: int, fill: Callable[[Table], None]) -> None:
        try:
            write_table(path, len(self._pool), width, fill)
        except OSError as error:
            raise RunFailed(
                f"{path} could not be written: {error.strerror or one_line(error)}",
                hint="make room; dataflex run … --resume goes on from the last checkpoint",
            ) from error

    def _digest(self) -> str:
        return digest_of_samples(self._pool)[:16]

    def _tokens(self, start: int, stop: int) -> list[Any]:
        return list(self._pool[start:stop][_TOKENS])
