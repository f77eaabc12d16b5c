"""Batches of a data set, one list of them after the other, from loader workers that are started once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

Batches = Sequence[Sequence[int]] | Sequence[NDArray[np.int64]]


class Feed:
    """A loader of a map-style ``dataset`` that is told, for each iteration, which batches to load.

    Its workers, if it has any, live as long as it does: an iteration starts none. ``settings`` are the loader's own.
    """

    def __init__(self, dataset: Any, collate: Callable[..., Any], *, workers: int, **settings: Any) -> None:
        self._lists = _Lists()
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=self._lists,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Its own generator: drawing a base seed must not move the run's random state.
            generator=torch.Generator(),
            **settings,
        )

    def __call__(self, batches: Batches) -> Iterator[Any]:
        """These batches, collated, in their order; ends any iteration before it."""
        self._lists.batches = batches
        return iter(self._loader)


@dataclass(frozen=True, slots=True)
class OfCopies:
    """Collates copies: LLaMA-Factory's collator takes pictures out of the samples that it is given, and adds tokens."""

    collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """What it makes of the samples, which stay as they are."""
        return self.collate([dict(row) for row in rows])


class _Lists:
    """Batches as lists of ints, made one at a time: those of a large pool would outweigh its arrays."""

    def __init__(self) -> None:
        self.batches: Batches = ()

    def __iter__(self) -> Iterator[list[int]]:
        return (np.asarray(batch).tolist() for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)
