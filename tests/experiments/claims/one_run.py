"""One run of an arm: its held-out losses as it goes, what it cost, and whom it chose."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from benchmarks.report import write
from support import of_kind, train

from experiments.claims.arms import REFERENCE, Claim
from experiments.claims.planted import Planted
from experiments.held_out import held_out_loss

STEPS, CONTROL_STEPS, REFERENCE_STEPS, EVERY = 90, 270, 150, 15
_WARMUP, _UPDATE = 10, 10
PROTOCOL = 1
"""Counted up when what is measured changes, or what DataFlex decides: older results are not read any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run. ``losses`` are held-out ones by name, after each of ``steps``; ``cost`` is that of all it decided, in
    training steps; ``marked`` the share of marked samples among those trained on after the warm-up, ``pool`` in all.

    ``shares`` are the domains' among the same, ``order`` the rank correlation of a sample's answer's length with the
    step that trained on it.
    """

    corpus: str
    arm: str
    section: dict[str, Any]
    seed: int
    steps: tuple[int, ...]
    losses: dict[str, tuple[float, ...]]
    cost: float
    marked: float
    pool: float
    shares: dict[str, float]
    order: float
    protocol: int = PROTOCOL


def run(
    corpus: str, claim: Claim, texts: Planted, args: Mapping[str, Any], folder: Path, *, seed: int, control: bool
) -> Outcome:
    """Train ``claim``, with an output folder below ``folder``, which is removed again."""
    import transformers

    reference = folder / "reference"
    if REFERENCE in json.dumps(claim.section) and not reference.exists():
        train_reference(texts, args, reference)
    section = json.loads(json.dumps(claim.section).replace(REFERENCE, str(reference)))
    steps = CONTROL_STEPS if control else STEPS
    output = folder / "output"
    points: dict[int, dict[str, float]] = {}
    evaluate = {name: held_out_loss(args, name) for name in texts.held_out}

    class Evaluating(transformers.TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_step_end(self, _args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            if state.global_step % EVERY == 0:
                points[state.global_step] = {name: loss(model) for name, loss in evaluate.items()}

    events: list[dict[str, Any]] = []
    dataflex = {"warmup_steps": _WARMUP, "update_steps": _UPDATE, **section}
    callbacks = [*transformers.trainer.DEFAULT_CALLBACKS, Evaluating]
    with patch.object(transformers.trainer, "DEFAULT_CALLBACKS", callbacks):
        train({**args, "output_dir": str(output), "max_steps": steps, "dataflex": dataflex}, events=events)
    shutil.rmtree(output)
    (start,) = of_kind(events, "start")
    trained = [event for event in of_kind(events, "step") if event["step"] > _WARMUP]
    kinds = Kinds(texts, pool=sum(start["domains"].values()))
    return Outcome(
        corpus=corpus,
        arm=claim.name,
        section=dict(claim.section),
        seed=seed,
        steps=tuple(points),
        losses={name: tuple(point[name] for point in points.values()) for name in evaluate},
        cost=sum(event["cost"] for event in of_kind(events, "decision")) + start["step_cost"] * steps,
        marked=float(np.mean(kinds.marked[_ids(trained)])),
        pool=float(np.mean(kinds.marked)),
        shares=kinds.shares(_ids(trained)),
        order=kinds.order(trained),
    )


class Kinds:
    """Of each sample of the pool, by id: whether it is marked, its domain, and how long its answer is."""

    def __init__(self, texts: Planted, *, pool: int) -> None:
        kept = texts.domains
        if sum(map(len, kept.values())) != pool:
            raise ValueError("samples of the pool were left out: ids are not rows")
        self.marked = np.array([r in texts.marked.get(n, ()) for n, s in kept.items() for r in range(len(s))])
        self._lengths = np.array([len(sample.output) for samples in kept.values() for sample in samples])
        self._domain = np.repeat(np.arange(len(kept)), [len(samples) for samples in kept.values()])
        self._names = list(kept)

    def shares(self, ids: Any) -> dict[str, float]:
        """Of the domains among ``ids``."""
        counts = np.bincount(self._domain[ids], minlength=len(self._names))
        return dict(zip(self._names, (counts / counts.sum()).tolist(), strict=True))

    def order(self, trained: Sequence[Mapping[str, Any]]) -> float:
        """Spearman's correlation of step and length of answer."""
        from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy has no types

        steps = np.repeat([event["step"] for event in trained], [len(event["samples"]) for event in trained])
        return float(spearmanr(steps, self._lengths[_ids(trained)]).statistic)


def train_reference(texts: Planted, args: Mapping[str, Any], output: Path) -> None:
    """The same model, trained on the clean samples, all alike."""
    dataset = ",".join(f"clean_{name}" for name in texts.clean)
    section = {"selector": {"name": "random"}}
    train({**args, "dataset": dataset, "output_dir": str(output), "max_steps": REFERENCE_STEPS, "dataflex": section})


def _ids(trained: Sequence[Mapping[str, Any]]) -> Any:
    return np.concatenate([event["samples"] for event in trained])


def path_of(folder: Path, corpus: str, claim: Claim, seed: int) -> Path:
    """Where the outcome of a run lies, by what it depends on: the control's serves every comparison on its corpus."""
    section = json.dumps(claim.section, sort_keys=True)
    key = hashlib.sha256(f"{corpus} {section} {seed} {STEPS} {PROTOCOL}".encode()).hexdigest()[:8]
    return folder / f"{corpus}_{claim.name.replace(' ', '-')}_{seed}_{key}.json"


def save(path: Path, outcome: Outcome) -> None:
    """All of the file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, asdict(outcome))


def load(path: Path) -> Outcome:
    """What `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    losses = {name: tuple(values) for name, values in plain["losses"].items()}
    return Outcome(**{**plain, "steps": tuple(plain["steps"]), "losses": losses})
