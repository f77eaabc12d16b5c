"""A plugin of one file: a weighter that weighs tokens, by their losses."""

from __future__ import annotations

from dataflex_core import Kind, StrategySpec, TokenLosses, WeighRequest, Weighter, hookimpl


@hookimpl
def dataflex_strategies():
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="steep",
        target="steep:Steep",
        summary="weighs a token by its loss, and leaves out the first of each sample",
        compares=False,
    )


class Steep(Weighter):
    """Weighs a token by its loss, and leaves out the first of each sample."""

    def weigh(self, request: WeighRequest, losses: TokenLosses):
        first = losses.mask & (losses.mask.cumsum(dim=1) == 1)
        return losses.values * ~first
