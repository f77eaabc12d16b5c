"""Weights that look at the batch as a whole: like the target set, and unlike each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Interval
from typing_extensions import Doc

from dataflex_core import TokenLosses, WeighRequest
from dataflex_strategies.weighters.anchors import AnchoredWeighter, unit

if TYPE_CHECKING:
    import torch

_SETTLED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class JointUpdateParams:
    """What is weighed against what, and how the balance is found."""

    beta: Annotated[float, Ge(0), Doc("how much a sample loses for being like others that weigh much")] = 0.1
    tau: Annotated[float, Gt(0), Doc("temperature of the softmax: larger is nearer to equal weights")] = 0.05
    rho: Annotated[float, Interval(gt=0, le=1), Doc("how far an iteration moves; halved where it does not settle")] = (
        0.5
    )
    iterations: Annotated[int, Gt(0), Doc("at most so many")] = 200
    objective: Annotated[
        Literal["full", "align_only", "diverse_only"],
        Doc("align_only: by likeness to the target set alone; diverse_only: by unlikeness to each other alone"),
    ] = "full"


class JointUpdateWeighter(AnchoredWeighter[JointUpdateParams]):
    """Weighs the samples of a step together: up with their likeness to the target set, down with that to each other.

    With ``zᵢ`` the samples' embeddings as `adapt` has them, of length one, and ``d`` the direction of the mean of the
    target set's, the weights are where this stands still, from equal ones on::

        sᵢ = zᵢ · d        w ← (1 − ρ)w + ρ · softmax((s − β · zzᵀ · w) / τ)        weights: w · B

    It ends where no weight moves by more than 1e-6, or after ``iterations``; ``ρ`` is halved whenever an iteration
    hardly comes nearer. There is one such point, whatever ρ. The target set is looked at anew as each interval of
    ``update_steps`` begins, without dropout; the batch's embeddings are those of the forward that trains on them, and
    have it.

    Departs from DataFlex 1.x (``joint_update_aware``), which pools the last token or an even mean, takes one batch of
    the target set, and five iterations with ρ = 1.

    When to use: as `adapt`, with steps of eight samples or more, and where samples repeat each other: of ten that are
    alike, each counts less. With gradient accumulation each step takes
    a forward more, for the weights are relative to the whole step; without it the batch takes none.
    """

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B]."""
        assert request.embeddings is not None, "declared as a need"
        z = unit(request.embeddings)
        direction = unit(unit(self.anchors(z)).mean(dim=0, keepdim=True))[0]
        given = self.params
        found = weights(
            z @ z.T,
            z @ direction * (given.objective != "diverse_only"),
            beta=given.beta * (given.objective != "align_only"),
            tau=given.tau,
            rho=given.rho,
            iterations=given.iterations,
        )
        return found * len(z)


def weights(
    gram: torch.Tensor, alignment: torch.Tensor, *, beta: float, tau: float, rho: float, iterations: int
) -> torch.Tensor:
    """Weights Float32[B], of sum one, from products ``gram`` Float32[B, B] and ``alignment`` Float32[B].

    No value is asked for, which would make the host wait for the device: what has settled is left where it is.
    """
    import torch

    gram, alignment = gram.double(), alignment.double()
    found = torch.full_like(alignment, 1 / max(1, len(alignment)))
    pace, before = torch.full_like(found.sum(), rho), torch.full_like(found.sum(), float("inf"))
    for _ in range(iterations if len(found) else 0):
        worth = alignment - beta * (gram @ found)
        # The largest is taken off first: divided by a small tau, it would be infinite.
        away = ((worth - worth.max()) / tau).softmax(dim=0) - found
        distance = away.abs().max()
        # A step of ρ brings what is left down by ρ at least, unless it swings to and fro.
        pace = torch.where(distance > before * (1 - pace / 4), pace / 2, pace)
        found, before = torch.where(distance > _SETTLED, found + pace * away, found), distance
    return (found / found.sum()).float()
