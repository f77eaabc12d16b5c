"""Plans: which samples an interval trains on, in what order. Pure functions of their arguments; numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import StrategyFault
from dataflex_core.planning.exhaustion import Shortage
from dataflex_core.planning.schedule import Interval
from dataflex_core.rng import derive

Ids = NDArray[np.int64]


def shuffled(ids: Ids, *key: int | str) -> Ids:
    """``ids`` in a seeded random order: an interval trains on its domains mixed, not one after the other."""
    return derive("order", *key).permutation(ids)


def stretched(ids: Ids, count: int) -> Ids:
    """``ids`` repeated from the front until there are ``count``: how a selection that is too short fills a plan."""
    if not len(ids):
        raise StrategyFault("nothing was chosen", hint="choose at least one of request.candidates")
    return np.resize(ids, count)


def interleaved(parts: Sequence[Ids]) -> Ids:
    """Ordered parts in one order that keeps each part's own, and mixes them evenly: the j-th of n stands at (j + ½)/n.

    Where two stand at one place the earlier part comes first.
    """
    places = np.concatenate([(np.arange(len(part)) + 0.5) / len(part) for part in parts if len(part)])
    merged: Ids = np.concatenate([part for part in parts if len(part)])[np.argsort(places, kind="stable")]
    return merged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What an interval trains on: ``ids`` Int64[steps x global batch], in the order of training, and how that came.

    ``ordered`` is whether a selector asked for that order. ``proportions`` Float64[K] are those in force, ``split`` is
    whether domains have quotas; ``loss_weights`` Float64[K] multiply the loss of each domain's samples, None where
    nothing asked for it. ``counts`` are samples by domain. ``judged`` candidates were looked at; ``scored`` are their
    ids Int64[N] and scores Float32[N] or [N, K], where the selector scores; where some of these are predicted
    ``exact`` Bool[N] are those that are not, and ``correlation`` is the rank correlation of the two. ``notes`` are the
    strategies' figures, by slot, ``remarks`` lines for the user.
    """

    interval: Interval
    ids: Ids
    proportions: NDArray[np.float64]
    ordered: bool = False
    loss_weights: NDArray[np.float64] | None = None
    split: bool = False
    counts: tuple[int, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    judged: int = 0
    scored: tuple[Ids, NDArray[np.float32]] | None = None
    exact: NDArray[np.bool_] | None = None
    correlation: float | None = None
    notes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the ids and their order, 16 hexadecimal digits."""
        return sha256(self.ids.astype("<i8").tobytes()).hexdigest()[:16]

    def state(self) -> dict[str, Any]:
        """What training on it needs, for a checkpoint."""
        interval = self.interval
        return {
            "interval": [interval.decision, interval.start, interval.stop],
            "ids": self.ids,
            "proportions": self.proportions,
            "loss_weights": self.loss_weights,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Plan:
        """What `state` gave, without the account of how it came."""
        decision, start, stop = state["interval"]
        return cls(
            interval=Interval(decision=decision, start=start, stop=stop),
            ids=state["ids"],
            proportions=state["proportions"],
            loss_weights=state["loss_weights"],
        )
