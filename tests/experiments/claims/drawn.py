"""Whom a run drew, and with what weight, by what is planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex_core.journal.figures import shares
from experiments.claims.planted import Planted


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Of what a run drew after its warm-up: the share of ``marked`` samples and of each domain.

    ``order`` is the rank correlation of a sample's answer's length with the step that trained on it. ``marked_tokens``
    and ``marked_weight`` are what marked domains had of the target tokens, and of their weight in the loss; None in
    runs without a weighter. ``last`` are the proportions that the last decision asked for.
    """

    marked: float
    shares: dict[str, float]
    order: float | None
    marked_tokens: float | None = None
    marked_weight: float | None = None
    last: dict[str, float] | None = None


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


def weighed(texts: Planted, trained: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What marked domains had of the target tokens of events ``trained``, and of the weight of these."""
    tokens, weights = dict[str, float](), dict[str, float]()
    for event in trained:
        for name, count in event["tokens"].items():
            tokens[name] = tokens.get(name, 0.0) + count
            weights[name] = weights.get(name, 0.0) + (event["weights"] or event["tokens"])[name]
    of_tokens, of_weight = shares(tokens), shares(weights)
    return sum(of_tokens[name] for name in texts.marked), sum(of_weight[name] for name in texts.marked)
