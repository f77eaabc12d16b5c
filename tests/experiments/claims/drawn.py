"""Whom a run drew, by what is planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.claims.planted import Planted


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Of what a run drew after its warm-up: the share of ``marked`` samples and of each domain.

    ``order`` is the rank correlation of a sample's answer's length with the step that trained on it.
    """

    marked: float
    shares: dict[str, float]
    order: float | None


def of_domains(texts: Planted, decided: Sequence[Mapping[str, Any]]) -> Drawn:
    """What decisions chose, where samples that are kept out of the pool make their ids no rows."""
    counts = {name: sum(event["chosen"].get(name, 0) for event in decided) for name in texts.domains}
    whole = [name for name, samples in texts.domains.items() if len(texts.marked.get(name, ())) == len(samples)]
    shares = {name: count / sum(counts.values()) for name, count in counts.items()}
    return Drawn(marked=sum(shares[name] for name in whole), shares=shares, order=None)


def of_samples(texts: Planted, trained: Sequence[Mapping[str, Any]], domains: Mapping[str, int]) -> Drawn:
    """What steps trained on. Raises `ValueError` where samples were left out of the pool."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy has no types

    kept = texts.domains
    if sum(map(len, kept.values())) != sum(domains.values()):
        raise ValueError("samples of the pool were left out: ids are not rows")
    marked = np.array([row in texts.marked.get(name, ()) for name, own in kept.items() for row in range(len(own))])
    lengths = np.array([len(sample.output) for own in kept.values() for sample in own])
    domain = np.repeat(np.arange(len(kept)), [len(own) for own in kept.values()])
    ids = np.concatenate([event["samples"] for event in trained])
    counts = np.bincount(domain[ids], minlength=len(kept))
    steps = np.repeat([event["step"] for event in trained], [len(event["samples"]) for event in trained])
    return Drawn(
        marked=float(np.mean(marked[ids])),
        shares=dict(zip(kept, (counts / len(ids)).tolist(), strict=True)),
        order=float(spearmanr(steps, lengths[ids]).statistic),
    )
