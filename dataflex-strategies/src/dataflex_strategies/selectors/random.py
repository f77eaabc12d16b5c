"""Uniform selection: the baseline that every selector should be compared with."""

from __future__ import annotations

from dataflex_core import NoParams, Selection, SelectionRequest, Selector


class RandomSelector(Selector[NoParams]):
    """Draws uniformly without replacement, afresh at each decision."""

    def select(self, request: SelectionRequest) -> Selection:
        """Never looks at the model."""
        return Selection(ids=request.rng.choice(request.candidates, size=request.count, replace=False))
