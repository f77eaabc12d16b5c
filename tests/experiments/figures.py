"""Figures of an arm over its seeds: held-out loss at a budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Held-out loss over seeds: its mean, and the standard deviation of one run, NaN of a single one."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if np.isnan(self.deviation) else f"{self.mean:.3f} ± {self.deviation:.3f}"


def loss_within(result: Result, budget: float) -> float:
    """Held-out loss after the last step that ``budget`` is enough for, in training steps by count; NaN before all."""
    within = [point.loss for point in result.points if point.passes <= budget]
    return within[-1] if within else float("nan")


def loss_after(result: Result, budget: float) -> float:
    """Held-out loss after ``budget`` in processor seconds, in those of a step of this run, whatever else was running.

    Between the points on both sides; that of the nearest outside.
    """
    step = seconds_per_step(result)
    spent = [(point.training + point.deciding) / step for point in result.points]
    return float(np.interp(budget, spent, [point.loss for point in result.points]))


def seconds_per_step(result: Result) -> float:
    """Of training alone, over the whole run."""
    last = result.points[-1]
    return last.training / last.steps


def over_seeds(losses: Sequence[float]) -> Loss:
    """Of one loss a seed."""
    spread = float(np.std(losses, ddof=1)) if len(losses) > 1 else float("nan")
    return Loss(mean=float(np.mean(losses)), deviation=spread)


def grouped(results: Iterable[Result], corpus: str) -> dict[str, dict[int, Result]]:
    """A corpus's results by arm and seed."""
    found: dict[str, dict[int, Result]] = {}
    for result in results:
        if result.corpus == corpus:
            found.setdefault(result.arm, {})[result.seed] = result
    return found


def ahead(arm: Mapping[int, Result], control: Mapping[int, Result], budget: float) -> tuple[int, int]:
    """In how many of the seeds that both have the arm's loss is the lower, and how many these are."""
    seeds = sorted(set(arm) & set(control))
    return sum(loss_within(arm[seed], budget) < loss_within(control[seed], budget) for seed in seeds), len(seeds)
