"""The weights of samples, added up on the device: how many there are, how much they differ, how many really count."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.journal.facts import WeightsFact

WEIGHTS = "weights"
"""What weighing leaves in the ledger: what `added_up` answers with."""


def added_up(weights: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Of weights Float32[B] that were given together, where ``known`` Bool[B]: what `in_short` takes, Float64[6].

    How many are finite, how many are not, their sum, that of their squares, 1 and their effective share: 0 and 0
    where they are all zero.
    """
    told = known & torch.isfinite(weights)
    values = torch.where(told, weights, 0.0).double()
    count, total, squares = told.sum(), values.sum(), values.square().sum()
    weighed = squares > 0
    share = torch.where(weighed, total.square() / (count * squares), 0.0)
    return torch.stack([x.double() for x in (count, (known & ~told).sum(), total, squares, weighed, share)])


def in_short(sums: NDArray[np.float64] | None) -> WeightsFact | None:
    """What sums of `added_up`, Float64[6], come to; None of nothing."""
    if sums is None or not sums[:2].any():
        return None
    count, lost, total, squares, windows, shares = sums.tolist()
    mean = total / count if count else None
    return WeightsFact(
        count=int(count),
        lost=int(lost),
        mean=mean,
        spread=None if mean is None else max(squares / count - mean**2, 0.0) ** 0.5,
        effective_share=shares / windows if windows else None,
    )
