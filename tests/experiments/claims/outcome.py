"""The outcomes of runs, a JSON file each, which are kept: a run that has one is not repeated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.claims.arms import Claim
from experiments.claims.drawn import Drawn

PROTOCOL = 1
"""Counted up when what is measured changes, or what DataFlex decides: older results are not read any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run. ``losses`` are held-out ones by name, after each of ``steps``; ``cost`` is that of all it decided, in
    training steps.
    """

    corpus: str
    arm: str
    section: dict[str, Any]
    seed: int
    steps: tuple[int, ...]
    losses: dict[str, tuple[float, ...]]
    cost: float
    drawn: Drawn
    protocol: int = PROTOCOL


def path_of(folder: Path, corpus: str, claim: Claim, seed: int) -> Path:
    """Where the outcome of a run lies, by what it depends on: the control's serves every comparison on its corpus."""
    section = json.dumps({**claim.section, **claim.args}, sort_keys=True)
    key = hashlib.sha256(f"{corpus} {section} {seed} {PROTOCOL}".encode()).hexdigest()[:8]
    return folder / f"{corpus}_{claim.name.replace(' ', '-')}_{seed}_{key}.json"


def load(path: Path) -> Outcome:
    """What `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    losses = {name: tuple(values) for name, values in plain["losses"].items()}
    return Outcome(**{**plain, "steps": tuple(plain["steps"]), "losses": losses, "drawn": Drawn(**plain["drawn"])})
