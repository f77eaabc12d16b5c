"""A bank of projected gradients, for strategies that need vectors and not only their products with a target set.

The projection is a sparse Johnson-Lindenstrauss transform: each coordinate of each parameter gets a random sign and a
random place among ``dim``, and what shares a place is added. Signs and places are seeded by the parameter's name,
so that every rank, and every run of one seed, projects alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.plan import derive
from dataflex_core.signals.engine import Engine, Samples, Task
from dataflex_core.signals.gradients import Gradients, SampleLosses, squared_norms
from dataflex_core.signals.moments import Moments, direction
from dataflex_core.signals.persample import Sink


class Projection:
    """From the coordinates of all parameters to ``dim`` of them; dot products are kept in expectation."""

    def __init__(self, *, dim: int, seed: int) -> None:
        self.dim = dim
        self._seed = seed
        self._folds: dict[str, _Fold] = {}

    def add(self, bank: torch.Tensor, name: str, vectors: torch.Tensor) -> None:
        """Add the projection of parameter ``name``'s Float32[b, numel] to ``bank`` Float32[b, dim].

        Consumes ``vectors``.
        """
        fold = self._folds.get(name)
        if fold is None:
            fold = _Fold.made(vectors.shape[1], self.dim, derive(self._seed, "projection", name), vectors.device)
            self._folds[name] = fold
        fold.add(bank, vectors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fold:
    """Coordinates laid out in rows of ``dim``, signed, every row turned by its own shift, and added up.

    Two coordinates of one row never meet, two of different rows do with chance ``1 / dim``: columns of a matrix,
    which a plain fold would throw together, are scattered.
    """

    signs: torch.Tensor
    shifts: torch.Tensor

    @classmethod
    def made(cls, numel: int, dim: int, rng: np.random.Generator, device: torch.device) -> _Fold:
        rows = -(-numel // dim)
        signs = torch.from_numpy(rng.integers(0, 2, size=numel, dtype=np.int8) * 2 - 1)
        return cls(signs=signs.to(device), shifts=torch.from_numpy(rng.integers(0, dim, size=rows)).to(device))

    def add(self, bank: torch.Tensor, vectors: torch.Tensor) -> None:
        dim, rows = bank.shape[1], len(self.shifts)
        signed = nn.functional.pad(vectors.mul_(self.signs), (0, rows * dim - vectors.shape[1])).view(-1, rows, dim)
        places = (torch.arange(dim, device=bank.device) - self.shifts[:, None]) % dim
        bank += signed.gather(2, places.expand(len(signed), -1, -1)).sum(dim=1)


def vectors(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    shard: NDArray[np.int64],
    task: Task,
    projection: Projection,
    moments: Mapping[nn.Parameter, Moments] | None,
    *,
    unit: bool,
) -> NDArray[np.float32]:
    """Projected gradients Float32[n, dim]; ``unit`` divides each by the exact norm of what was projected.

    ``moments`` make Adam's direction of a sample's gradient. NaN where a sample has no target token.
    """
    names = {p: name for name, p in gradients.parameters.items()}

    def body(losses: SampleLosses) -> torch.Tensor:
        squares = torch.zeros_like(losses.values)
        bank = squares.new_zeros(len(squares), projection.dim)
        losses.differentiate(_fold_into(bank, squares, projection, names, moments), False)
        usable = losses.known & (squares > 0)
        return torch.where(usable[:, None], bank * squares.rsqrt()[:, None] if unit else bank, torch.nan)

    return engine.map(samples, shard, task, lambda batch: torch.cat(gradients.of(batch, body)), row=(projection.dim,))


def _fold_into(
    bank: torch.Tensor,
    squares: torch.Tensor,
    projection: Projection,
    names: Mapping[nn.Parameter, str],
    moments: Mapping[nn.Parameter, Moments] | None,
) -> Sink:
    def sink(parameter: nn.Parameter, rows: slice, gradients: torch.Tensor) -> None:
        update = direction(gradients.flatten(1), parameter, moments)
        squares[rows] += squared_norms(update)
        projection.add(bank[rows], names[parameter], update)

    return sink
