"""Why samples of a decision are what they are: the loss that they were judged by, and the target sample they help."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from dataflex_core.collectives import Ranks
from dataflex_core.journal.texts import Helps, Shown
from dataflex_core.planning.heard import Heard
from dataflex_core.scoring.gradient_signals import Reasons
from dataflex_core.scoring.model_signals import ModelSignals

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What is shown of a decision, which rank 0 alone knows, with the reasons for ``explained`` samples of it.

    So many ``gradients`` were taken for these, over all ranks.
    """

    shown: Sequence[Shown] = ()
    explained: int = 0
    gradients: int = 0


def with_losses(shown: Sequence[Shown], heard: Heard, ranks: Ranks) -> list[Shown]:
    """With the losses that the selector was told, of samples of rank 0's ``shown``. Collective."""
    ids, losses = heard.losses_of(_of_first(shown, ranks))
    everyones = (np.concatenate(ranks.gather_arrays(values)).tolist() for values in (ids, losses))
    known = dict(zip(*everyones, strict=True))
    return [replace(one, loss=_finite(known.get(one.sample))) for one in shown]


def with_helps(
    shown: Sequence[Shown], heard: Heard, ranks: Ranks, signals: ModelSignals, targets: Mapping[str, int], taken: int
) -> Why:
    """With the target sample that each of rank 0's ``shown`` helps most, of as many of these as is paid for.

    ``targets`` are the samples of each target set, and ``taken`` what the decision cost, in gradients. Collective;
    raises as `dataflex_core.Signals.influences`.
    """
    asked = heard.influence
    assert asked is not None, "the selector asked for influence"
    found = signals.reasons(_of_first(shown, ranks), taken, adam=asked.adam, layers=asked.layers, refresh=asked.refresh)
    helps = _helps(found, targets)
    told = [replace(one, helps=helps.get(one.sample)) for one in shown]
    return Why(shown=told, explained=len(found.ids), gradients=found.gradients)


def in_turn(shown: Sequence[Shown]) -> Ids:
    """The samples that are shown, Int64[n], distinct: the first of each reason, then the second, and so on."""
    by_why: dict[str, list[int]] = {}
    for one in shown:
        by_why.setdefault(one.why, []).append(one.sample)
    turns = chain.from_iterable(zip_longest(*by_why.values()))
    return np.array(list(dict.fromkeys(sample for sample in turns if sample is not None)), dtype=np.int64)


def _of_first(shown: Sequence[Shown], ranks: Ranks) -> Ids:
    """What rank 0 shows: it alone knows how much there is room for."""
    return ranks.gather_arrays(in_turn(shown))[0].astype(np.int64, copy=False)


def _helps(found: Reasons, targets: Mapping[str, int]) -> dict[int, Helps]:
    ends = np.cumsum(list(targets.values()))
    names, parts = list(targets), np.split(found.cosines, ends[:-1], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a set without a gradient, or a sample without
        means = np.stack([np.nanmean(part, axis=1) for part in parts], axis=1)
    helps = {}
    for sample, row, mean in zip(found.ids.tolist(), found.cosines, means, strict=True):
        if not np.isfinite(row).any():
            continue
        best = int(np.nanargmax(row))
        k = int(np.searchsorted(ends, best, side="right"))
        helps[sample] = Helps(
            target=names[k],
            sample=best - int(ends[k] - targets[names[k]]),
            cosine=float(row[best]),
            means={name: float(value) for name, value in zip(names, mean, strict=True) if np.isfinite(value)},
        )
    return helps


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
