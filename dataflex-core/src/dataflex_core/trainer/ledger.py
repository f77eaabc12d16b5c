"""What steps leave on the device until it is read: to ask for a value makes the host wait for all that is under way.

A run reads at logging steps, before it writes a checkpoint, and where a decision depends on what was left. Then it is
one read, of everything that any rank has left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from dataflex_core.collectives import Ranks
from dataflex_core.scoring.host import read_of_all

MOST = 1024
"""Entries that wait at the most: a run that never logs reads when there are as many."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """What was left as ``kind`` while optimizer step ``step`` was made, the first is 1.

    ``everyones`` [world, ...] is what each rank left, with the shape and numbers that it had on the device; ``values``
    is this rank's. ``about`` is what this rank's host knew.
    """

    kind: str
    step: int
    values: NDArray[Any]
    everyones: NDArray[Any]
    about: Any = None


class Ledger:
    """Entries in the order in which they were made. Only `read` waits for the device.

    All ranks leave the same kinds in the same order, of the same shapes and dtypes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._kept: list[tuple[str, int, torch.Tensor, Any]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kind: str, step: int, values: torch.Tensor, about: Any = None) -> None:
        """Leave ``values``: Bool, Int64, Float32 or Float64 of any shape, detached."""
        self._kept.append((kind, step, values, about))

    def read(self) -> list[Entry]:
        """All entries, which are gone then: one exchange, and one copy from the device, however many they are.

        Collective.
        """
        kept, self._kept = self._kept, []
        values = read_of_all([values for _, _, values, _ in kept], self._ranks)
        return [
            Entry(kind=kind, step=step, values=found[self._ranks.rank], everyones=found, about=about)
            for (kind, step, _, about), found in zip(kept, values, strict=True)
        ]


def filled(rows: torch.Tensor, count: int) -> torch.Tensor:
    """``rows`` [n, ...] with rows of -1 after them, [count, ...]: where ranks may have made different numbers."""
    return torch.cat([rows, rows.new_full((count - len(rows), *rows.shape[1:]), -1)])


def digest_of(values: torch.Tensor) -> torch.Tensor:
    """Int64[] digest of Float32 ``values``, on their device: of every bit and its place, though nothing for spies."""
    bits = values.detach().reshape(-1).contiguous().view(torch.int32).long()
    places = torch.arange(1, len(bits) + 1, device=bits.device)
    # Multiplication by odd constants, with wrap-around: the finaliser of splitmix64 after each value meets its place.
    mixed = (bits + places * -7046029254386353131) * -4658895280553007687
    return ((mixed ^ (mixed >> 31)) * -7723592293110705685).sum()
