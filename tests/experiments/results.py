"""The results of runs, a JSON file each, which are kept: a run that has one is not repeated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import write

from experiments.arms import Arm
from experiments.meter import Point

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PROTOCOL = 1
"""Counted up when what is measured changes, or what DataFlex decides: older results are not read any more."""
RESULTS = Path(__file__).parents[2] / "docs" / "experiments" / "pays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run: ``points`` along it, the share of the target's domain in what it trained on after its warm-up.

    ``correlations`` are what its decisions say of their predictions, ``scored`` how many samples they judged without
    predicting.
    """

    corpus: str
    arm: str
    section: dict[str, Any]
    seed: int
    points: tuple[Point, ...]
    share: float
    scored: tuple[int, ...]
    correlations: tuple[float, ...]
    data: str
    protocol: int = PROTOCOL


def path_of(folder: Path, *, corpus: str, arm: Arm, seed: int, data: str) -> Path:
    """Where the result of a run lies, by what it depends on; ``data`` is a digest."""
    key = hashlib.sha256(json.dumps([corpus, arm.key(), seed, data, PROTOCOL]).encode()).hexdigest()[:8]
    return folder / f"{corpus}_{arm.name}_{seed}_{key}.json"


def save(path: Path, result: DataclassInstance) -> None:
    """All of the file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, asdict(result))


def load(path: Path) -> Result:
    """What `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    lists = {key: tuple(plain[key]) for key in ("scored", "correlations")}
    return Result(**{**plain, **lists, "points": tuple(Point(**point) for point in plain["points"])})


def load_all(folder: Path) -> list[Result]:
    """Those of this protocol, by the names of their files."""
    found = (load(path) for path in sorted(folder.glob("*.json")))
    return [result for result in found if result.protocol == PROTOCOL]
