"""Losses of domains step by step, of which a bounded number is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MOST = 2000
"""Spans of steps that are kept."""
_CUBIC = 3


class StepLosses:
    """Sums of losses and tokens by domain over spans of steps.

    A span is one step at first, and twice as many each time that there are `MOST`, of which every two then become one.
    ``steps`` were added, the last ones maybe to a span that is not full yet.
    """

    def __init__(self, domains: int) -> None:
        import numpy as np

        self.steps, self._width = 0, 1
        self._sums = np.zeros((MOST, 2, domains))

    def add(self, losses: ArrayLike, tokens: ArrayLike) -> None:
        """A step's sums of token losses [K], and its target tokens [K]."""
        import numpy as np

        if self.steps == MOST * self._width:
            self._sums[: MOST // 2] = self._sums[0::2] + self._sums[1::2]
            self._sums[MOST // 2 :] = 0
            self._width *= 2
        self._sums[self.steps // self._width] += np.stack([np.asarray(losses, "f8"), np.asarray(tokens, "f8")])
        self.steps += 1

    def smoothed(self, domain: int, window: int, spacing: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean losses of a domain's tokens, and after how many steps, Float64[n] each; n = 0 where none drew it.

        Smoothed by a cubic over ``window`` steps, or as many as there are (Savitzky and Golay, 1964), and one in
        ``spacing`` steps. Where a span did not draw the domain the loss lies on the line between its neighbours; before
        the first one there is none. Spans that are longer than either count for themselves.
        """
        import numpy as np
        from scipy.signal import savgol_filter  # type: ignore[import-untyped]  # no types

        full = self.steps // self._width
        sums, tokens = self._sums[:full, 0, domain], self._sums[:full, 1, domain]
        (drawn,) = np.nonzero((tokens > 0) & np.isfinite(sums))
        if not len(drawn):
            return np.zeros(0), np.zeros(0)
        spans = np.arange(drawn[0], full)
        losses = np.interp(spans, drawn, sums[drawn] / tokens[drawn])
        over = min(window // self._width, len(losses))
        over -= 1 - over % 2
        if over > _CUBIC:
            losses = savgol_filter(losses, over, _CUBIC)
        steps = self._width * spans + (self._width + 1) / 2
        # From the end: the latest loss tells most of what comes.
        places = np.arange(len(losses) - 1, -1, -max(1, spacing // self._width))[::-1]
        return steps[places], losses[places]

    def state(self) -> dict[str, Any]:
        """For a checkpoint: what is filled."""
        filled = -(-self.steps // self._width)
        return {"steps": self.steps, "width": self._width, "sums": self._sums[:filled].copy()}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> StepLosses:
        """What `state` gave."""
        made = cls(state["sums"].shape[2])
        made.steps, made._width = int(state["steps"]), int(state["width"])
        made._sums[: len(state["sums"])] = state["sums"]
        return made
