"""Samples that lie packed in one row: which tokens are whose, and a row's weights out of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.scoring.targets import IGNORE

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """P samples of a batch of packed rows [b, T], on the host.

    ``rows`` Int64[P] is where each of them lies, and ``numbers`` Int64[P] which of its row it is, as ``tokens``
    Int64[b, T] counts them.
    """

    rows: Ids
    numbers: Ids
    tokens: Ids

    def masks(self, device: torch.device) -> torch.Tensor:
        """Each sample's tokens, Bool[P, T]."""
        tokens, numbers = (torch.from_numpy(array).to(device) for array in (self.tokens, self.numbers))
        return tokens[self.rows_on(device)] == numbers[:, None]

    def target_masks(self, device: torch.device) -> torch.Tensor:
        """The positions that predict each sample's tokens, Bool[P, T]: those before them."""
        return torch.nn.functional.pad(self.masks(device)[:, 1:], (0, 1), value=False)

    def rows_on(self, device: torch.device) -> torch.Tensor:
        """``rows`` on a device."""
        return torch.from_numpy(self.rows).to(device)

    def laid_over(self, weights: torch.Tensor, count: int) -> torch.Tensor:
        """Weights Float32[count, T] of rows, from those Float32[P, T] of samples, each of its own positions."""
        own = torch.where(self.target_masks(weights.device), weights, 0.0)
        rows = own.new_zeros(count, own.shape[1])
        return rows.index_add(0, self.rows_on(weights.device), own)  # to each position one sample adds at most


def numbers_of(positions: NDArray[np.int64]) -> Ids:
    """Of rows of position ids Int64[..., T], which begin anew with each packed sample: whose each token is, from 1."""
    begins: NDArray[np.bool_] = positions == 0
    begins[..., 0] = True
    numbers: Ids = begins.cumsum(axis=-1)
    return numbers


def pieces_of(batch: Mapping[str, Any]) -> Pieces | None:
    """The samples in a batch on the host; None where each row is one.

    Packing restarts the position ids with each sample. What fills a row up has positions of zero, and no target token;
    so has a sample that is cut before its answer: neither is a piece. A row without any target token is one.
    """
    positions, labels = batch.get("position_ids"), batch.get("labels")
    if not torch.is_tensor(positions) or not torch.is_tensor(labels) or positions.shape != labels.shape:
        return None
    tokens = numbers_of(positions.numpy())
    wanted: NDArray[np.bool_] = labels.numpy() != IGNORE
    wanted[:, 0] = False  # nothing predicts it
    wanted[:, 0] = ~wanted.any(axis=1)
    found = np.unique(np.stack([np.nonzero(wanted)[0], tokens[wanted]]), axis=1)
    if tokens.max(initial=1) == 1 or found.shape[1] == len(tokens):
        return None
    return Pieces(rows=found[0], numbers=found[1], tokens=tokens)
