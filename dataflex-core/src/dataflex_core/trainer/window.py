"""Micro-batches of all ranks as one: what weighters are shown, and which part of their answer is this rank's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from dataflex_core.collectives import Ranks
from dataflex_core.scoring.targets import IGNORE
from dataflex_core.trainer.losses import MicroBatch
from dataflex_core.trainer.pieces import Pieces
from dataflex_core.weighing import TokenLosses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """B samples, in the order of training: micro-batch by micro-batch, in each rank by rank.

    ``ids`` Int64[B], ``losses`` [B, T], ``targets`` Int64[B, T] where they were asked for, ``references`` by path,
    ``embeddings`` Float32[B, H] where the micro-batches have them.
    ``places`` and ``shapes`` say where this rank's micro-batches are, and how large.
    """

    ids: torch.Tensor
    losses: TokenLosses
    targets: torch.Tensor | None
    references: dict[str, TokenLosses]
    embeddings: torch.Tensor | None
    places: tuple[slice, ...]
    shapes: tuple[tuple[int, int], ...] = field(repr=False)

    def copied(self) -> Window:
        """The same, to be given to one who may work on it in place."""
        return replace(
            self,
            ids=self.ids.clone(),
            losses=_copied(self.losses),
            targets=None if self.targets is None else self.targets.clone(),
            references={path: _copied(losses) for path, losses in self.references.items()},
            embeddings=None if self.embeddings is None else self.embeddings.clone(),
        )

    def mine(self, values: torch.Tensor) -> list[torch.Tensor]:
        """This rank's part of Float32[B, T], a [b, t] for each of its micro-batches."""
        return [values[place, :width] for place, (_, width) in zip(self.places, self.shapes, strict=True)]


def _copied(losses: TokenLosses) -> TokenLosses:
    return TokenLosses(values=losses.values.clone(), mask=losses.mask.clone())


Shapes = list[list[tuple[int, int]]]
"""Of each rank's micro-batches, in order: rows, and width with padding."""


def shapes_of(batches: Sequence[Mapping[str, Any]], pieces: Sequence[Pieces | None], ranks: Ranks) -> Shapes:
    """Those of all ranks' ``batches``, by their labels, a row each of the ``pieces`` that rows are packed of.

    Collective: every rank brings as many batches.

    Each rank collates its own samples, and how wide that makes a batch is its collator's to say: padding to a multiple,
    packing, pictures. No rank can reckon another's, and without it there is no telling how large what it sends is. The
    hosts know; it is asked once for the whole window.
    """
    mine = [
        (len(batch["labels"]) if packed is None else len(packed.rows), batch["labels"].shape[1])
        for batch, packed in zip(batches, pieces, strict=True)
    ]
    every = ranks.gather_arrays(np.array(mine, dtype=np.int64))
    return [[(int(rows), int(width)) for rows, width in rank] for rank in every]


def gathered(micros: Sequence[MicroBatch], every: Shapes, ranks: Ranks, *, targets: bool) -> Window:
    """This rank's micro-batches beside the others', of shapes ``every``. Collective."""
    device = micros[0].losses.device
    rows, width = (max(shape[i] for rank in every for shape in rank) for i in (0, 1))
    order = [(r, m) for m in range(len(micros)) for r in range(len(every))]

    def all_of(parts: list[torch.Tensor], fill: float, width: int = width) -> torch.Tensor:
        shape = (rows, width)[: parts[0].ndim]
        filled = parts[0].new_full((1, len(parts), *shape), fill)
        for index, part in enumerate(parts):
            filled[0, index][tuple(slice(n) for n in part.shape)] = part
        found = ranks.gather_rows(filled)
        return torch.cat([found[r, m, : every[r][m][0]] for r, m in order])

    ids = all_of([micro.ids.to(device) for micro in micros], -1)
    mask = all_of([micro.mask.to(torch.uint8) for micro in micros], 0).bool()
    values = all_of([micro.losses.masked_fill(~micro.mask, 0.0) for micro in micros], 0.0)
    references = {
        path: TokenLosses(values=all_of([micro.references[path] for micro in micros], 0.0) * mask, mask=mask)
        for path in micros[0].references
    }
    states = [micro.embeddings for micro in micros if micro.embeddings is not None]
    starts, position = {}, 0
    for r, m in order:
        starts[r, m] = position
        position += every[r][m][0]
    mine = [(ranks.rank, m) for m in range(len(micros))]
    return Window(
        ids=ids,
        losses=TokenLosses(values=values, mask=mask),
        targets=all_of([micro.targets for micro in micros], IGNORE) if targets else None,
        references=references,
        embeddings=all_of(states, 0.0, states[0].shape[1]) if states else None,
        places=tuple(slice(starts[key], starts[key] + every[key[0]][key[1]][0]) for key in mine),
        shapes=tuple(every[ranks.rank]),
    )
