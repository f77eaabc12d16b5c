"""Equal weights: training as it is without a weighter, for comparison and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflex_core import NoParams, TokenLosses, WeighRequest, Weighter

if TYPE_CHECKING:
    import torch


class UniformWeighter(Weighter[NoParams]):
    """Weight one for every sample.

    The loss is LLaMA-Factory's own, up to rounding, by the way that weighted losses take.

    When to use: to compare a weighter with. It compares no samples, so that it takes no pass of its own, and logs what
    weighters log.
    """

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B] of ones."""
        return losses.values.new_ones(losses.values.shape[0])
