"""What a run has to tell at its next log of training: in its journal, and to trackers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.journal.events import Logged
from dataflex_core.journal.figures import finite
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.figures import Figures
from dataflex_core.trainer.groups import groups_of
from dataflex_core.trainer.ledger import Entry
from dataflex_core.trainer.timed import Clock
from dataflex_core.trainer.trained import TRAINED, TrainedDomains
from dataflex_core.trainer.weight_sums import WEIGHTS, in_short

_ALWAYS = "dataflex/share/"
"""What is logged of a run without a tracker, too, beside what strategies noted."""


class SinceLog:
    """Collects, on every rank, what happened since the last log.

    ``device`` is that of training, ``figures`` are what strategies noted.
    """

    def __init__(self, run: ActiveRun, device: torch.device, figures: Figures) -> None:
        self.trained = TrainedDomains(groups_of(run.budget.domains, run.origins), device)
        self.deciding = Clock()
        """How long was decided."""
        self.paused = Clock()
        """How long training stood still otherwise: for evaluations and checkpoints."""
        self._run, self._figures = run, figures
        self._weights: NDArray[np.float64] | None = None
        self._began = time.monotonic()

    def begin(self) -> None:
        """Training begins."""
        self._began = time.monotonic()
        self.deciding.seconds = self.paused.seconds = 0.0

    def take_up(self, entries: Sequence[Entry]) -> None:
        """What steps left on the device of what they trained on, and of its weights."""
        for entry in entries:
            if entry.kind == TRAINED:
                self.trained.take_up(entry.everyones.sum(axis=0))
            elif entry.kind == WEIGHTS:
                self._weights = entry.values if self._weights is None else self._weights + entry.values

    def tell(self, step: int, logs: Mapping[str, float]) -> dict[str, float]:
        """Journal all of it at a log after ``step``, and begin anew; the figures to log beside ``logs``.

        Everything is taken up. Raises as `Journal.write`.
        """
        now, journal = time.monotonic(), self._run.journal
        if (event := self.trained.event(step)) is not None:
            journal.write(event)
        weights, means = in_short(self._weights), finite(self._figures.means())
        if weights is not None and weights.effective_share is not None:
            means["dataflex/effective_share"] = weights.effective_share
        journal.write(
            Logged(
                step=step,
                means=means,
                training=finite(logs),
                seconds=round(now - self._began, 3),
                deciding=round(self.deciding.seconds, 3),
                paused=round(self.paused.seconds, 3),
                weights=weights,
            )
        )
        self._clear(step, now)
        shown = self._run.tally.figures()
        if not self._run.is_tracked:
            shown = {name: figure for name, figure in shown.items() if name.startswith(_ALWAYS)}
        return {**means, **shown}

    def state(self) -> dict[str, Any]:
        """For a checkpoint, but for times. Everything is taken up."""
        return {TRAINED: self.trained.state(), WEIGHTS: self._weights}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.trained.load(state[TRAINED])
        self._weights = state[WEIGHTS]

    def _clear(self, step: int, now: float) -> None:
        self.trained.clear(step)
        self._figures.clear()
        self._weights, self._began = None, now
        self.deciding.seconds = self.paused.seconds = 0.0
