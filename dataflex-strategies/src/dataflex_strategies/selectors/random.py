"""Uniform selection: the baseline that every selector should be compared with."""

from __future__ import annotations

from dataflex_core import NoParams, Selection, SelectionRequest, Selector


class RandomSelector(Selector[NoParams]):
    """Draws uniformly without replacement, afresh at each decision.

    Every set of the size asked for is equally likely among the candidates, and the draw depends on the seed, the step
    and the domain alone. A sample may be drawn again at a later decision.

    When to use: as the baseline. A selector that does not beat it on the same schedule has learnt nothing from the
    model; where it is as good as one that does, it is the cheaper one.
    """

    def select(self, request: SelectionRequest) -> Selection:
        """Never looks at the model."""
        return Selection(ids=request.rng.choice(request.candidates, size=request.count, replace=False))
