"""RHO-1: train only on the tokens that a reference model finds easier (Lin et al., 2024, arXiv:2404.07965)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from typing_extensions import Doc

from dataflex_core import Kind, Need, ReferenceModel, StrategySpec, TokenLosses, WeighRequest, Weighter, hookimpl

if TYPE_CHECKING:
    import torch


@hookimpl
def dataflex_strategies():
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="my-rho-1",
        target="rho_1:Rho1",
        params="rho_1:Params",
        summary="trains only on the tokens with the largest excess loss over a reference model",
        needs={Need.REFERENCE_LOSSES},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """What is kept, and who is asked."""

    reference_model: Annotated[ReferenceModel, Doc("a model trained on data that is known to be good")]
    keep: Annotated[float, Interval(gt=0, le=1), Doc("the share of the window's target tokens to train on")] = 0.6


class Rho1(Weighter[Params]):
    """Weight one for the tokens whose loss exceeds the reference model's by most, zero for the others."""

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        return kept(losses.values - request.reference.values, losses.mask, self.params.keep)


def kept(excess: torch.Tensor, mask: torch.Tensor, keep: float) -> torch.Tensor:
    """1 for the ``keep`` of the tokens of ``mask`` with the largest ``excess``, ties included, else 0."""
    count = max(1, ceil(keep * int(mask.sum()) - 1e-9))  # 0.6 of 5 is 3, whatever 0.6 is in binary
    least = excess[mask].topk(count).values[-1] if mask.any() else 0.0
    return (mask & (excess >= least)).float()
