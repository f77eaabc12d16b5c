"""Which rows of a tensor inside a model belong to which sample of the batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import torch


class Unreachable(Exception):
    """A trainable parameter's per-sample gradient is out of the hooks' reach; the message says why."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The first axis of a tensor, shared out to the samples in their order: ``counts`` rows to each."""

    counts: tuple[int, ...]

    @property
    def single(self) -> bool:
        """Whether the axis is that of the samples themselves."""
        return set(self.counts) == {1}

    def cut(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """Of samples ``rows``, [b, ...], or [b, n, ...] for n rows to a sample: filled up with zeros to the most."""
        if self.single:
            return tensor[rows]
        if len(set(self.counts)) == 1:
            return tensor.reshape(len(self.counts), self.counts[0], *tensor.shape[1:])[rows]
        pieces = [self.of(tensor, index) for index in range(rows.start, rows.stop)]
        return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)

    def of(self, tensor: torch.Tensor, index: int) -> torch.Tensor:
        """The rows of one sample."""
        start = sum(self.counts[:index])
        return tensor[start : start + self.counts[index]]

    def owners(self, device: torch.device) -> torch.Tensor:
        """Int64[rows]: the sample of each row."""
        counts = torch.tensor(self.counts, device=device)
        return torch.repeat_interleave(torch.arange(len(self.counts), device=device), counts)


class Layout:
    """The ways in which a batch of ``size`` samples of ``width`` tokens, padding included, lies in tensors.

    Models have rows of samples, [B, ...], or of all their tokens, [B * T, ...]. ``witnesses`` is of how many samples
    there is something in them.
    """

    def __init__(self, size: int, width: int) -> None:
        self.size = size
        self.width = width
        self.witnesses = size
        self._ways: dict[int, set[Shares]] = {}
        self.add([1] * size)
        self.add([width] * size)

    def add(self, counts: Iterable[int]) -> None:
        """Know one way more: so many rows to each sample."""
        shares = Shares(tuple(counts))
        self._ways.setdefault(sum(shares.counts), set()).add(shares)

    def find(self, tensor: torch.Tensor) -> Shares | None:
        """How ``tensor`` lies; None where it is of no sample. Raises `Unreachable` where that can be two ways."""
        ways = self._ways.get(len(tensor), set()) if tensor.ndim else set()
        if len(ways) > 1:
            raise Unreachable(f"{len(tensor)} rows can be shared out to the samples in two ways")
        return next(iter(ways), None)

    def cut(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """Of samples ``rows``, as `Shares.cut`. Raises `Unreachable` where the tensor is not the samples'."""
        shares = self.find(tensor)
        if shares is None:
            raise Unreachable("a layer is applied to all samples at once")
        return shares.cut(tensor, rows)

    def repeats(self, tensor: torch.Tensor) -> int:
        """How often a row that does for all samples, such as that of their positions, has to be there."""
        return self.size if tensor.shape == (1, self.width) else 1

    def starts(self, shares: Shares) -> list[int]:
        """The first row of each sample, and the end of the last."""
        return [0, *accumulate(shares.counts)]
