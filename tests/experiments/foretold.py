"""Whether scores of the samples being trained on would make predictions better, before anybody computes them so.

A training step's own backward pass holds what the scores of its samples take, but for one product a layer, against
directions of the target set that are as old as the decision. One run scores its whole pool at each decision; from these
scores it is worked out what predictions come to with and without those of the samples that were then trained on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import of_kind, train

from dataflex_core.journal.scores import DecisionScores, read_scores
from dataflex_core.planning.feature_tables import read_table
from dataflex_core.planning.predict import Features, Memory, Regression, as_table, rank_correlation, standardised

Ids = NDArray[np.int64]

MARK = "foretold"
"""What the comments in the page say."""
_SECTION = {
    "warmup_steps": 10,
    "update_steps": 10,
    "candidates": "all",
    "exact": 0.25,
    "exact_floor": 0.999,  # no prediction is good enough: all are scored
    "selector": {"name": "less"},
}
_STEPS = 110
PROBES = (20, 40, 80)
"""Samples that a decision scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How predictions are made: from ``probe`` fresh scores a decision, and maybe from those of what was trained on."""

    probe: int
    trained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What a way came to over the decisions but the first: means of the rank correlation with all exact scores, and of
    the exact score, in standard deviations of the pool's, of as many of the highest predictions as are chosen.
    """

    seed: int
    probe: int
    trained: bool
    correlation: float
    worth: float


WAYS = tuple(Way(probe=probe, trained=trained) for probe in PROBES for trained in (False, True))


def run(args: Mapping[str, Any], folder: Path, *, seed: int) -> list[Foretold]:
    """Train once, and work out each of `WAYS`."""
    output, events = folder / "output", list[dict[str, Any]]()
    train({**args, "output_dir": str(output), "max_steps": _STEPS, "dataflex": _SECTION}, events=events)
    (path,) = (output / "dataflex" / "features").glob("*.npy")
    table, scored = read_table(path), list(read_scores(output / "dataflex"))
    steps = of_kind(events, "step")
    trained = [
        np.unique([i for step in steps if event["step"] < step["step"] <= event["until"] for i in step["samples"]])
        for event in of_kind(events, "decision")
        if event["decision"]
    ]
    found = [foretold(way, scored, trained, lambda ids: table[ids], seed=seed) for way in WAYS]
    shutil.rmtree(output)
    return found


def foretold(
    way: Way, scored: Sequence[DecisionScores], trained: Sequence[Ids], features: Features, *, seed: int
) -> Foretold:
    """What a way comes to where the n-th decision ``scored`` all, and its interval ``trained`` on Int64[m] of it."""
    rng, memory, told = np.random.default_rng(seed), Memory(), list[tuple[float, float]]()
    for one, then in zip(scored, trained, strict=True):
        probe = rng.choice(one.ids, way.probe, replace=False)
        now, known = memory.next, memory.with_scores(probe, _of(one, probe))
        if len(memory):
            rest = np.setdiff1d(one.ids, probe)
            guess, exact = Regression(known, features, now)(rest), as_table(_of(one, rest))
            best = np.argsort(-guess[:, 0], kind="stable")[: len(then)]
            told.append((rank_correlation(guess, exact), float(standardised(exact)[best].mean())))
        # Together with the probe: what was chosen is no fair sample of the scores.
        both = np.union1d(probe, then) if way.trained else probe
        memory = memory.with_scores(both, _of(one, both))
    correlation, worth = np.mean(told, axis=0).tolist()
    return Foretold(seed=seed, probe=way.probe, trained=way.trained, correlation=correlation, worth=worth)


def _of(one: DecisionScores, ids: Ids) -> NDArray[np.float32]:
    order = np.argsort(one.ids)
    return one.scores[order[np.searchsorted(one.ids, ids, sorter=order)]]


def save(folder: Path, seed: int, found: Sequence[Foretold]) -> None:
    """All of a seed's, or nothing."""
    from benchmarks.report import write

    folder.mkdir(parents=True, exist_ok=True)
    write(path_of(folder, seed), {"ways": [asdict(one) for one in found]})


def path_of(folder: Path, seed: int) -> Path:
    """Where a seed's figures lie."""
    return folder / f"demo-25_{seed}.json"


def load_all(folder: Path) -> list[Foretold]:
    """Those of all seeds."""
    files = sorted(folder.glob("*.json"))
    return [Foretold(**one) for path in files for one in json.loads(path.read_text(encoding="utf-8"))["ways"]]


def table(found: Sequence[Foretold]) -> Iterator[str]:
    """Lines of Markdown, a row a way."""
    if not found:
        yield "This has not been run."
        return
    yield "| scored at a decision | what was trained on, too | seeds | rank correlation | worth of the best |"
    yield "|---|---|---|---|---|"
    for way in WAYS:
        those = [one for one in found if (one.probe, one.trained) == (way.probe, way.trained)]
        cells = [_mean([one.correlation for one in those]), _mean([one.worth for one in those])]
        yield f"| {way.probe} | {'yes' if way.trained else 'no'} | {len(those)} | {' | '.join(cells)} |"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
