"""Projected gradients, for strategies that need vectors and not only their products with a target set.

The projection is a sparse Johnson-Lindenstrauss transform: each coordinate of each parameter gets a random sign and a
random place among ``dim``, and what shares a place is added. Signs are seeded by the parameter's name and places by
the run's seed, so that every rank, and every run of one seed, projects alike. What matters most is not left to chance:
the directions of the target subtasks keep coordinates of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.rng import derive
from dataflex_core.scoring.engine import Engine, Task
from dataflex_core.scoring.gradients import Gradients, squared_norms
from dataflex_core.scoring.influence import Directions
from dataflex_core.scoring.moments import Moments, direction
from dataflex_core.scoring.samples import Batch, Ids, Samples


class Projection:
    """From the coordinates of all parameters, laid end to end, to ``dim`` of them.

    The line of coordinates is cut into rows of ``dim``, each row is turned by its own shift, and the rows are added
    up. Two coordinates of one row never meet, so with no more coordinates than ``dim`` nothing is lost; two of
    different rows meet with chance ``1 / dim``, so that the heavy columns of a matrix are scattered.
    """

    def __init__(self, sizes: Mapping[str, int], *, dim: int, seed: int) -> None:
        self.dim = dim
        self._seed = seed
        ends = np.cumsum(list(sizes.values()), dtype=np.int64)
        self._starts = {name: int(end) - size for (name, size), end in zip(sizes.items(), ends, strict=True)}
        rows = -(-int(ends[-1]) // dim)
        self._shifts = torch.from_numpy(derive(seed, "projection").integers(0, dim, size=rows))
        self._signs: dict[str, torch.Tensor] = {}

    def add(self, sums: torch.Tensor, name: str, vectors: torch.Tensor) -> None:
        """Add the projection of parameter ``name``'s ``vectors`` Float32[b, numel] to ``sums`` Float32[b, dim].

        Consumes ``vectors``.
        """
        dim, numel = self.dim, vectors.shape[1]
        first, before = divmod(self._starts[name], dim)
        rows = -(-(before + numel) // dim)
        signed = vectors.mul_(self._signs_of(name, numel, vectors.device))
        laid = nn.functional.pad(signed, (before, rows * dim - before - numel)).view(-1, rows, dim)
        shifts = self._shifts[first : first + rows].to(sums.device)
        places = (torch.arange(dim, device=sums.device) - shifts[:, None]) % dim
        sums += laid.gather(2, places.expand(len(laid), -1, -1)).sum(dim=1)

    def _signs_of(self, name: str, numel: int, device: torch.device) -> torch.Tensor:
        if name not in self._signs:
            drawn = derive(self._seed, "projection", name).integers(0, 2, size=numel, dtype=np.int8)
            self._signs[name] = torch.from_numpy(drawn * 2 - 1).to(device)
        return self._signs[name]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptPlane:
    """The plane of the target subtasks' directions, whose coordinates are kept as they are.

    Only what is outside of it is projected: the mean of a subtask's target samples lies in the plane, so products with
    it are exact. ``basis`` Float32[K, K] makes an orthonormal basis of the ``directions``, ``folded`` Float32[K, dim]
    is what the projection makes of that basis.
    """

    directions: Directions
    basis: torch.Tensor
    folded: torch.Tensor

    @classmethod
    def of(cls, directions: Directions, projection: Projection, names: Mapping[nn.Parameter, str]) -> KeptPlane:
        """The plane of K ``directions``; one that depends on others gets no coordinate, but a zero."""
        first = next(iter(directions.values()))
        gram = sum((q @ q.T for q in directions.values()), start=first.new_zeros(len(first), len(first)))
        values, vectors = torch.linalg.eigh(gram)
        roots = torch.where(values > 1e-6 * values.max(), values.clamp(min=1e-30).rsqrt(), 0.0)
        folded = first.new_zeros(len(first), projection.dim)
        for parameter, q in directions.items():
            projection.add(folded, names[parameter], q.clone())
        basis = (vectors * roots).T
        return cls(directions=directions, basis=basis, folded=basis @ folded)


def projected(
    gradients: Gradients,
    engine: Engine,
    samples: Samples,
    shard: Ids,
    task: Task,
    projection: Projection,
    kept: KeptPlane | None,
    moments: Mapping[nn.Parameter, Moments] | None,
    *,
    unit: bool,
) -> NDArray[np.float32]:
    """Gradients as Float32[n, K + dim]: coordinates in the plane that is ``kept``, and a projection of what is outside.

    ``unit`` divides each by its exact norm before projection. ``moments`` make Adam's direction of a sample's
    gradient. NaN where a sample has no target token.
    """
    names = {p: name for name, p in gradients.parameters.items()}
    plane = 0 if kept is None else len(kept.basis)

    def of_batch(batch: Batch) -> torch.Tensor:
        found = gradients.of(batch)
        squares, dots, outside = found.zeros(), found.zeros(plane), found.zeros(projection.dim)
        for parameter, rows, part in found:
            update = direction(part.flatten(1), parameter, moments)
            squares[rows] += squared_norms(update)
            if kept is not None:
                dots[rows] += update @ kept.directions[parameter].T
            projection.add(outside[rows], names[parameter], update)
        coordinates = outside
        if kept is not None:
            inside = dots @ kept.basis.T
            coordinates = torch.cat([inside, outside - inside @ kept.folded], dim=1)
        if unit:
            coordinates = coordinates * squares.rsqrt()[:, None]
        usable = found.known & (squares > 0)
        return torch.where(usable[:, None], coordinates, torch.nan)

    return engine.map(samples, shard, task, of_batch, row=(plane + projection.dim,))
