"""Selection by how far the loss has fallen. numpy is imported where it is used: describing stays light."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Le
from typing_extensions import Doc

from dataflex_core import ScoringSelector, Selection, SelectionRequest, SetupContext, gumbel_top, rounded_down

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core import Signals

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]

_STEEPNESS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaLossParams:
    """How wide the window is, and how strongly it is preferred."""

    share: Annotated[float, Gt(0), Le(1), Doc("the share of the candidates that lies in the window")] = 0.2
    outside: Annotated[float, Gt(0), Le(1), Doc("how likely a sample outside is drawn, next to one inside")] = 0.025


class DeltaLossSelector(ScoringSelector[DeltaLossParams]):
    """Draws mostly from a window that moves, as the run goes on, from what is learnt fastest to what is learnt slowest.

    ``Δ`` is a sample's loss at the first decision less its loss now, over its target tokens. The N candidates are
    sorted by it, the largest first. At decision ``t + 1`` of ``T`` the window is, with ``σ`` the logistic function::

        u = σ(10 (t/T − 1/2))
        from ⌊(1 − share) N u⌋ to ⌊(1 − share) N u + share N⌋, cut where Δ < 0 begins

    Samples in the window are drawn with weight 1, others with weight ``outside``, without replacement. The first
    decision, where every Δ is 0, draws uniformly. A sample whose loss was not taken then, for it was no candidate, is
    compared with the model that the run started from, whose losses are computed once and stored. Samples without a
    target token have no loss and are never drawn. Where a mixer sets quotas each domain has a window of its own.

    Costs a forward pass of each candidate, and with ``candidates`` other than ``all`` a second one, of the starting
    model, of each that is new.

    Departs from DataFlex 1.x, where t/T is t/(T − 1) and one decision divides by zero. There is no paper.

    When to use: without a target set, where easy samples are to come early and what the model does not learn, noise
    above all, is to be met late and seldom. It needs several decisions: with one it is a uniform draw. It needs a model
    that tells one from the other, too: in 90 steps of one that starts from nothing 19 % of what it drew had random
    answers, of 20 % that were planted in the pool, for the losses of right ones fell no faster. Not where the hard
    samples are the valuable ones: then see ``loss``.
    """

    def __init__(self, params: DeltaLossParams) -> None:
        super().__init__(params)
        self._first: Scores | None = None
        self._pool = 0

    def setup(self, context: SetupContext) -> None:
        """The pool's size is all that it has to know."""
        self._pool = context.pool

    def score(self, request: SelectionRequest, shard: Ids) -> Scores:
        """Δ of each sample: 0 at the first decision, whose losses are remembered."""
        import numpy as np

        signals = request.signals
        now = signals.losses(shard)
        if self._first is None:
            self._first = np.full(self._pool, np.nan, dtype=np.float32)
            self._first[request.candidates] = signals.gather(request.candidates, shard, now)
            return now - now
        first = self._first[shard]
        # All ranks ask, or none does: it goes by all candidates.
        if self._fresh(signals, request.candidates).any():
            fresh = self._fresh(signals, shard)
            first[fresh] = signals.losses(shard[fresh], model="base")
        return first - now

    def _fresh(self, signals: Signals, ids: Ids) -> NDArray[np.bool_]:
        """Which of ``ids`` were no candidates at the first decision, Bool[n]; none that can have no loss is."""
        import numpy as np

        assert self._first is not None, "remembered at the first decision"
        return np.isnan(self._first[ids]) & (signals.target_tokens(ids) > 0)

    def choose(self, request: SelectionRequest, scores: Scores) -> Selection:
        """A weighted draw; from the second decision on the note ``inside`` is the share of it that has weight 1."""
        import numpy as np

        progress, known = request.progress, ~np.isnan(scores)
        if progress.decision <= 1:
            weights = known.astype(np.float64)
        else:
            start, stop = window(progress.decision - 1, progress.decisions, int(known.sum()), self.params.share)
            weights = drawing_weights(scores, start, stop, self.params.outside)
        with np.errstate(divide="ignore"):
            ids = gumbel_top(request.candidates, np.log(weights), request.count, request.rng)
        if progress.decision <= 1 or len(ids) == 0:
            return Selection(ids=ids, instead="drawn at random: no loss has fallen yet" if len(ids) else "")
        inside = np.isin(ids, request.candidates[weights == 1])
        return Selection(ids=ids, notes={"inside": float(inside.mean())})

    def state_dict(self) -> dict[str, Any]:
        """The losses of the first decision, Float32[pool], NaN where there is none."""
        return {"first": self._first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on comparing with them."""
        self._first = None if state["first"] is None else state["first"].copy()


def window(t: int, decisions: int, pool: int, share: float) -> tuple[int, int]:
    """Where the window lies at decision ``t`` (from 0) of ``decisions``, in ``pool`` samples: from, and up to."""
    moved = 1 / (1 + math.exp(-_STEEPNESS * (t / decisions - 0.5)))
    start = (1 - share) * pool * moved
    return rounded_down(start), rounded_down(start + share * pool)


def drawing_weights(delta: NDArray[np.floating], start: int, stop: int, outside: float) -> NDArray[np.float64]:
    """Unnormalised drawing weights Float64[N] of samples whose loss has fallen by ``delta`` Float[N]; 0 where NaN.

    In the order of the largest first, equal ones by index, those from ``start`` up to ``stop`` weigh 1, unless
    ``delta`` is below 0; all others weigh ``outside``.
    """
    import numpy as np

    order = np.argsort(-delta, kind="stable")
    inside = order[start:stop]
    weights = np.full(len(delta), outside, dtype=np.float64)
    weights[inside[delta[inside] >= 0]] = 1.0
    return np.where(np.isnan(delta), 0.0, weights)
