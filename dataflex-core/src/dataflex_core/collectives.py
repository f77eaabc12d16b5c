"""The processes of a run, and the few collectives DataFlex needs; with one process none of them communicates."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from dataflex_core.errors import RunFailed
from dataflex_core.wording import first_line

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray


LOOK_EVERY = 1.0
"""Seconds from one look of `Looks` to the next, about."""


Gather = Callable[[torch.Tensor], torch.Tensor]
"""Every rank's tensor [n, ...], one after the other, [world * n, ...], on every rank."""


def between_hosts(timeout: timedelta) -> Gather | None:
    """A gather of tensors on the CPU that no device takes part in; None where processes are not torch's.

    Collective. Raises `RunFailed` where hosts cannot reach each other; ``timeout`` is how long one waits for another.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    try:
        group = distributed.new_group(backend="gloo", timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise RunFailed(
            f"the processes of this run cannot talk to each other by gloo: {first_line(error)}",
            hint="set GLOO_SOCKET_IFNAME to the network interface that connects their machines, and let a process "
            "open more files than there are processes (ulimit -n)",
        ) from error
    world = distributed.get_world_size(group)

    def gather(tensor: torch.Tensor) -> torch.Tensor:
        everyones = [torch.empty_like(tensor) for _ in range(world)]
        distributed.all_gather(everyones, tensor, group=group)
        return torch.cat(everyones)

    return gather


class Ranks:
    """Collectives over an `Accelerator`'s processes. Every method is called by all ranks, in the same order.

    What the hosts know they exchange by ``hosts``, so that none waits for a device; by the accelerator without it.
    """

    def __init__(self, accelerator: Accelerator, hosts: Gather | None = None) -> None:
        self._accelerator = accelerator
        self._hosts = hosts
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self.device: torch.device = accelerator.device

    def gather_arrays(self, values: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """Every rank's ``values``, on every rank: ``world`` numpy arrays [n_r, ...], in order of rank.

        Lengths n_r may differ between ranks; the shape of a row and the dtype may not.
        """
        if self.world == 1:
            return [values]
        lengths = self._everyones(np.array(len(values)))
        padded = np.zeros((lengths.max(), *values.shape[1:]), dtype=values.dtype)
        padded[: len(values)] = values
        return [row[:n] for row, n in zip(self._everyones(padded), lengths, strict=True)]

    def _everyones(self, values: NDArray[np.generic]) -> NDArray[Any]:
        """Every rank's ``values``, of one shape and dtype on all of them: [world, ...]."""
        mine = torch.from_numpy(np.ascontiguousarray(values).reshape(1, *values.shape))
        if self._hosts is not None:
            return self._hosts(mine).numpy()
        everyones: NDArray[Any] = self._accelerator.gather(mine.to(self.device)).cpu().numpy()
        return everyones

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
        everyones = self._everyones(np.array(number))
        return np.flatnonzero(everyones != everyones[0]).tolist()

    def largest(self, value: int) -> int:
        """The largest ``value`` of any rank, on every rank; it must fit 64 bits, signed."""
        if self.world == 1:
            return value
        return int(self._everyones(np.array(value)).max())


class Looks:
    """Whether any rank wants something, such as the end: looked at in a loop that all ranks go through together.

    Each look is an exchange, for which hosts wait for each other: in every round it would cost more than is gained by
    knowing at once. So ranks look about every `LOOK_EVERY` seconds. After how many rounds that is, they agree upon in
    the look before, each by its own clock, and the slowest decides: none looks alone.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._wanted = False
        self._rounds = 0
        self._due = 1
        self._since = time.monotonic()

    def any_wants(self, mine: bool) -> bool:
        """A round is done: look, if that is due. Whether a rank wants it, as far as is known. Collective.

        A rank by itself is answered at once.
        """
        if self._ranks.world == 1:
            return mine
        self._rounds += 1
        if self._rounds >= self._due:
            seconds = time.monotonic() - self._since
            until_next = 0 if mine else max(1, int(LOOK_EVERY * self._rounds / max(seconds, 1e-9)))
            self._due = -self._ranks.largest(-until_next)
            self._wanted = self._due == 0
            self._rounds, self._since = 0, time.monotonic()
        return self._wanted
