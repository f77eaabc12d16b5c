"""Weights by the loss within an optimizer step (Sow et al., 2025, arXiv:2502.06733)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from dataflex_core import CheckRequest, SetupContext, TokenLosses, UsageError, WeighRequest, Weighter

if TYPE_CHECKING:
    import torch

_SHARPEST = 1e30  # beyond it nothing changes, and a float32 would overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParams:
    """The shape of the weight as a function of the loss."""

    strategy: Annotated[
        Literal["linupper", "upper", "quadratic", "extremes"],
        Doc("linupper: up with the loss, capped; upper: up without a cap; quadratic: the middle; extremes: both ends"),
    ] = "linupper"
    delta: Annotated[float, Gt(0), Doc("half the range that losses are scaled to")] = 1.0
    r: Annotated[float, Gt(0), Doc("temperature of the softmax: larger is nearer to equal weights")] = 1.0
    r_start: Annotated[float | None, Gt(0), Doc("the temperature of the first step that is weighed; null for r")] = None
    r_steps: Annotated[int, Ge(0), Doc("optimizer steps in which the temperature goes from r_start to r")] = 0


class LossWeighter(Weighter[LossParams]):
    """Softmax of a function of the loss, scaled over the samples of an optimizer step.

    The step's ``B`` samples are those of the accumulation window, of all ranks. With ``l`` their mean losses over the
    target tokens, and ``min`` and ``max`` over all of them::

        h = 2δ(l − min) / (max − min) − δ
        f = min(h + δ, δ)    linupper: more for a higher loss, the upper half alike
            h/2δ + 1/2       upper: more for a higher loss
            1 − h²/δ²        quadratic: most for the middle
            |h|              extremes: most for both ends
        w = softmax(f / r) · B

    With ``r_start`` the temperature goes from it to ``r`` in a straight line over the first ``r_steps`` optimizer steps
    after the warm-up: weights near to equal while losses say little yet, then by the loss. Equal losses give equal
    weights. A sample without a target token has no loss: its weight is zero, and the others share. A run whose steps
    have one sample is refused, for there is nothing to compare.

    When to use: to learn more from hard samples (``linupper``), on data whose labels are trusted; ``quadratic`` where
    the highest losses are noise. A step should have eight samples or more, for the weights are relative to it. With
    gradient accumulation each step takes a forward pass more, a third of its cost; without it weighing costs nothing.
    """

    def __init__(self, params: LossParams) -> None:
        super().__init__(params)
        self._warmup = 0

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` where a temperature is to change and it is not said in how many steps, or from what."""
        self._warmup = context.warmup_steps
        check(self.params, CheckRequest())

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B]."""
        done = request.progress.step - self._warmup
        return loss_weights(losses.per_sample, self.params, temperature(self.params, done))


def check(params: LossParams, request: CheckRequest) -> None:
    """Raises `UsageError` where a temperature is to change and it is not said in how many steps, or from what."""
    if (params.r_start is None) != (params.r_steps == 0):
        raise UsageError(
            "weighter loss: r_start and r_steps are given together, or neither",
            hint=f"the temperature goes from r_start to r={params.r} in r_steps optimizer steps",
        )


def temperature(params: LossParams, steps: int) -> float:
    """The softmax's temperature when ``steps`` optimizer steps have been weighed."""
    if params.r_start is None or steps >= params.r_steps:
        return params.r
    return params.r_start + (params.r - params.r_start) * steps / params.r_steps


def loss_weights(loss: torch.Tensor, params: LossParams, r: float | None = None) -> torch.Tensor:
    """Weights Float32[B] from losses Float32[B]: zero where a loss is NaN, of mean one among the others.

    ``r`` is the temperature, where it is not that of ``params``. No value is asked for, which would make the host wait
    for the device.
    """
    import torch

    known = ~loss.isnan()
    low, high = loss.masked_fill(~known, math.inf).min(), loss.masked_fill(~known, -math.inf).max()
    spread = high - low
    # f by the place between the lowest and the highest, in which delta is a factor, or cancels.
    place, factor = (loss - low) / spread, params.delta
    if params.strategy == "linupper":
        f = (2 * place).clamp(max=1)
    elif params.strategy == "upper":
        f, factor = place, 1.0
    elif params.strategy == "quadratic":
        f, factor = 1 - (2 * place - 1).square(), 1.0
    else:
        f = (2 * place - 1).abs()
    sharpness = min(factor / (params.r if r is None else r), _SHARPEST)
    weights = (f * sharpness).masked_fill(~known, -math.inf).softmax(dim=0) * known.sum()
    return torch.where(spread > 0, weights, 1.0).masked_fill(~known, 0.0)
