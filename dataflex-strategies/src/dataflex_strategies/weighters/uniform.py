"""Equal weights: training as it is without a weighter, for comparison and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflex_core import NoParams, TokenLosses, WeighRequest, Weighter

if TYPE_CHECKING:
    import torch


class UniformWeighter(Weighter[NoParams]):
    """Weight one for every sample.

    The loss is LLaMA-Factory's own, up to rounding, by the way that weighted losses take, without a pass beside it.

    When to use: to compare a weighter with, under the same logging.
    """

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B] of ones."""
        return losses.values.new_ones(losses.values.shape[0])
