"""The processes of a run, and the few collectives DataFlex needs; with one process none of them communicates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray


LOOK_EVERY = 1.0
"""Seconds from one look of `Looks` to the next, about."""


class Ranks:
    """Collectives over an `Accelerator`'s processes. Every method is called by all ranks, in the same order."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self.device: torch.device = accelerator.device

    def gather_arrays(self, values: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """Every rank's ``values``, on every rank: ``world`` numpy arrays [n_r, ...], in order of rank.

        Lengths n_r may differ between ranks; the shape of a row and the dtype may not.
        """
        if self.world == 1:
            return [values]
        length = torch.tensor([len(values)], device=self.device)
        lengths = self._accelerator.gather(length).tolist()
        padded = np.zeros((max(lengths), *values.shape[1:]), dtype=values.dtype)
        padded[: len(values)] = values
        rows = self._accelerator.gather(torch.from_numpy(padded).to(self.device)[None]).cpu().numpy()
        return [row[:n] for row, n in zip(rows, lengths, strict=True)]

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Every rank's ``tensor`` [n, ...], on every rank: one tensor [world * n, ...] on the device, in order of rank.

        Shape and dtype are the same on all ranks.
        """
        gathered: torch.Tensor = tensor if self.world == 1 else self._accelerator.gather(tensor)
        return gathered

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of every rank's ``tensor``, on every rank.

        Its shape and dtype are the same on all ranks.
        """
        summed: torch.Tensor = tensor if self.world == 1 else self._accelerator.reduce(tensor, "sum")
        return summed

    def differing(self, digest: bytes) -> list[int]:
        """The ranks whose ``digest`` differs from rank 0's, ascending; none where all agree. The same on every rank.

        Compares the first 8 bytes, which every digest must have.
        """
        if self.world == 1:
            return []
        number = int.from_bytes(digest[:8], "little", signed=True)
        gathered = self._accelerator.gather(torch.tensor([number], device=self.device)).tolist()
        return [rank for rank, other in enumerate(gathered) if other != gathered[0]]

    def largest(self, value: int) -> int:
        """The largest ``value`` of any rank, on every rank; it must fit 64 bits, signed."""
        if self.world == 1:
            return value
        return int(self._accelerator.gather(torch.tensor([value], device=self.device)).max())


class Looks:
    """Whether any rank wants something, such as the end: looked at in a loop that all ranks go through together.

    Each look is an exchange, which makes the hosts wait for their devices: in every round it would cost more than is
    gained by knowing at once. So ranks look about every `LOOK_EVERY` seconds. After how many rounds that is, they agree
    upon in the look before, each by its own clock, and the slowest decides: none looks alone.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.wanted = False
        """Whether a rank wanted it at the last look; the same on every rank."""
        self._ranks = ranks
        self._rounds = 0
        self._due = 1
        self._since = time.monotonic()

    def is_due(self) -> bool:
        """A round is done: whether to look after it. The same on every rank."""
        self._rounds += 1
        return self._rounds >= self._due

    def offer(self, wants: bool) -> int:
        """What this rank brings to a look: the rounds until the next one, 0 where it ``wants``."""
        seconds = time.monotonic() - self._since
        return 0 if wants else max(1, int(LOOK_EVERY * self._rounds / max(seconds, 1e-9)))

    def agree(self, least: int) -> None:
        """Take up what the look found: the ``least`` of all ranks' offers."""
        self.wanted, self._due = least == 0, least
        self._rounds, self._since = 0, time.monotonic()

    def any_wants(self, mine: bool) -> bool:
        """A round is done: look, if that is due. Whether a rank wants it, as far as is known. Collective.

        A rank by itself is answered at once.
        """
        if self._ranks.world == 1:
            return mine
        if self.is_due():
            self.agree(-self._ranks.largest(-self.offer(mine)))
        return self.wanted
