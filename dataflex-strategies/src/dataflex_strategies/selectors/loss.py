"""Selection by a band of the loss. numpy is imported where it is used: describing the parameters stays light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt
from typing_extensions import Doc

from dataflex_core import ScoringSelector, Selection, SelectionRequest, gumbel_top

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOWER, _UPPER = 0.33, 0.66
_DECIDED = 100.0  # any two Gumbel numbers of a float64 are nearer to each other


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParams:
    """Which band, and how strongly it is preferred."""

    focus: Annotated[Literal["low", "medium", "high"], Doc("the third of the pool, by loss, to prefer")] = "high"
    boost: Annotated[float, Gt(0), Doc("how many times likelier its samples are drawn")] = 5.0
    temperature: Annotated[float, Gt(0), Doc("above 1 flattens the preference, below 1 sharpens it")] = 1.0


class LossSelector(ScoringSelector[LossParams]):
    """Draws without replacement with probability proportional to ``w ** (1 / temperature)``.

    ``w`` is ``boost`` inside the band, 1 outside. With ``l`` a candidate's mean loss over its target tokens and
    ``q33``, ``q66`` the .33 and .66 quantiles of all candidates' losses, the bands are::

        low     l <= q33
        medium  q33 < l <= q66
        high    l > q66

    The draw is Gumbel top-k: the samples with the largest ``log(w) / temperature + gumbel`` are taken, which is a
    weighted draw without replacement for a pool of any size. Samples without a target token have no loss and are never
    drawn.

    When to use: without a target set, to spend more of the training on what the model finds hard (``focus=high``), or
    to keep away from both the mastered and the noisy (``focus=medium``). ``high`` also draws what is mislabelled: look
    at what it chose. Both go by a model that knows something: in 90 steps of one that starts from nothing, with random
    answers in 20 % of the pool, 27 % of what ``high`` drew had them, and 20 % of what ``medium`` drew, as by chance.
    """

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> NDArray[np.float32]:
        """The mean loss over each sample's target tokens."""
        return request.signals.losses(shard)

    def choose(self, request: SelectionRequest, scores: NDArray[np.float32]) -> Selection:
        """Gumbel top-k on the log weights: a weighted draw without replacement, for a pool of any size."""
        logs = log_weights(scores, self.params)
        return Selection(ids=gumbel_top(request.candidates, logs, request.count, request.rng))


def log_weights(losses: NDArray[np.float32], params: LossParams) -> NDArray[np.float64]:
    """Logarithms of unnormalised drawing weights, Float64[N]; -inf where the loss is NaN.

    They are held to where the band is drawn first, or last, for certain: beyond, the draw would be lost in rounding.
    """
    import numpy as np

    known = losses[~np.isnan(losses)].astype(np.float64)
    if known.size == 0:
        return np.full(losses.size, -np.inf)
    lower, upper = np.quantile(known, [_LOWER, _UPPER])
    band = {
        "low": losses <= lower,
        "medium": (losses > lower) & (losses <= upper),
        "high": losses > upper,
    }[params.focus]
    inside = max(-_DECIDED, min(_DECIDED, math.log(params.boost) / params.temperature))
    return np.where(np.isnan(losses), -np.inf, np.where(band, inside, 0.0))
