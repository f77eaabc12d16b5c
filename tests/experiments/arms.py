"""What is compared: a selector and the settings of its decisions, as data. A new arm is a line here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """``section`` is what a configuration would say below ``dataflex:``, but for the number of decisions."""

    name: str
    what: str
    section: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """The same for arms that train alike, whatever they are called."""
        return json.dumps(self.section, sort_keys=True)


def less(name: str, what: str, *, params: Mapping[str, Any] | None = None, **section: Any) -> Arm:
    """An arm of the selector ``less``; ``params`` are its own, the others those of decisions."""
    return Arm(name=name, what=what, section={**section, "selector": {"name": "less", **(params or {})}})


KEPT = {"refresh_target": 4}
NO_SPREAD = {"temperature": 0.0, "penalty": 0.0, "repeats": 1000}

ARMS = {
    arm.name: arm
    for arm in (
        Arm(name="random", what="samples at random", section={"selector": {"name": "random"}}),
        Arm(name="loss", what="the highest losses of 2", section={"selector": {"name": "loss"}, "candidates": 2}),
        less("less-2", "all of 2 candidates scored", candidates=2),
        less("less-4", "all of 4 candidates scored", candidates=4),
        less("exact-.1", "exact: 0.1", candidates="all", exact=0.1),
        less("exact-.25", "exact: 0.25", candidates="all", exact=0.25),
        less("exact-.5", "exact: 0.5", candidates="all", exact=0.5),
        less("exact-.25-top", "exact: 0.25, not spread", candidates="all", exact=0.25, spread=NO_SPREAD),
        less("exact-.25-floor-0", "exact: 0.25, exact_floor: 0", candidates="all", exact=0.25, exact_floor=0.0),
        less("exact-.25-refresh-4", "exact: 0.25, refresh_target: 4", params=KEPT, candidates="all", exact=0.25),
        less("exact-.25-start", "exact: 0.25, features: start", candidates="all", exact=0.25, features="start"),
        less("exact-.25-both", "exact: 0.25, features: both", candidates="all", exact=0.25, features="both"),
    )
}
