"""The target subtasks' directions: taken at a decision, and kept for as many decisions as was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from dataflex_core.errors import StrategyFault
from dataflex_core.scoring.influence import Counted
from dataflex_core.scoring.sharded import shape_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """Directions, taken after optimizer step ``step`` and asked for at ``decisions``, the last after step ``latest``.

    They are taken anew when that were ``refresh`` decisions.
    """

    counted: Counted
    step: int
    latest: int
    refresh: int
    decisions: int = 1


class TargetDirections:
    """Those of every question that is asked, by its name. What is kept is the same on every rank, and never changed."""

    def __init__(self) -> None:
        self._taken: dict[str, Taken] = {}
        self._stored: dict[str, Mapping[str, Any]] = {}

    def new_decision(self) -> None:
        """Forget what is to be taken at every decision."""
        self._taken = {key: taken for key, taken in self._taken.items() if taken.refresh > 1}

    def of(
        self,
        question: str,
        parameters: Mapping[str, nn.Parameter],
        take: Callable[[], Counted],
        *,
        step: int,
        refresh: int,
    ) -> Taken:
        """Of ``parameters``, by name: as they were taken, unless that was ``refresh`` decisions ago; else ``take()``.

        Decisions are those at which the question is asked. Raises `StrategyFault` for a ``refresh`` below one.
        """
        if refresh < 1:
            raise StrategyFault(
                f"refresh is {refresh}", hint="give the number of decisions, 1 for a fresh pass at each"
            )
        key = f"{question}, every {refresh}"
        known = self._taken.get(key) or self._restored(key, parameters, refresh)
        if known is not None and known.latest != step:
            known = replace(known, latest=step, decisions=known.decisions + 1)
        if known is None or known.decisions > refresh or set(known.counted[0]) != set(parameters.values()):
            known = Taken(counted=take(), step=step, latest=step, refresh=refresh)
        self._stored.pop(key, None)
        self._taken[key] = known
        return known

    def state(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
        """For a checkpoint, of what later decisions may still ask for: numpy arrays by a parameter's name."""
        names = {parameter: name for name, parameter in parameters.items()}
        state: dict[str, Any] = dict(self._stored)
        for key, taken in self._taken.items():
            if taken.decisions < taken.refresh:
                q, counts = taken.counted
                state[key] = {
                    "vectors": {names[p]: vectors.cpu().numpy() for p, vectors in q.items()},
                    "counts": counts.cpu().numpy(),
                    "taken": [taken.step, taken.latest, taken.decisions],
                }
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self._stored = dict(state)

    def _restored(self, key: str, parameters: Mapping[str, nn.Parameter], refresh: int) -> Taken | None:
        """What a checkpoint had, if it is of these parameters."""
        stored = self._stored.get(key)
        if stored is None:
            return None
        vectors = stored["vectors"]
        if {name: shape_of(p).numel() for name, p in parameters.items()} != {n: v.shape[1] for n, v in vectors.items()}:
            return None
        q = {p: torch.from_numpy(vectors[name]).to(p.device) for name, p in parameters.items()}
        device = next(iter(q.values())).device
        step, latest, decisions = map(int, stored["taken"])
        counts = torch.from_numpy(stored["counts"]).to(device)
        return Taken(counted=(q, counts), step=step, latest=latest, refresh=refresh, decisions=decisions)
