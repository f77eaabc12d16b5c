"""Losses, scores, lengths and weights, as curves and counts. Pure functions of what a run left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataflex_cli.report.choice import by_decision
from dataflex_cli.report.model import Curve, Lengths, Scores
from dataflex_cli.report.reading import Point, Seen
from dataflex_core.journal import Logged
from dataflex_core.journal.figures import rank_correlation

_POINTS = 1000
_BINS = 40
_DOTS = 400
_SHOWN = 200


def curve(name: str, points: Sequence[Point]) -> Curve:
    """Points as a curve; of very many, means of neighbours."""
    steps, values = np.array([p[0] for p in points]), np.array([p[1] for p in points], dtype=np.float64)
    if len(steps) > _POINTS:
        parts = np.array_split(np.arange(len(steps)), _POINTS)
        steps = np.array([steps[part[-1]] for part in parts])
        values = np.array([values[part].mean() for part in parts])
    return Curve(
        name=name, steps=tuple(steps.tolist()), values=tuple(v if np.isfinite(v) else None for v in values.tolist())
    )


def domain_losses(seen: Seen) -> tuple[Curve, ...]:
    """Mean loss of a target token, by domain, where token losses were computed."""
    found: dict[str, list[Point]] = {}
    for event in seen.trained:
        for name, total in (event.losses or {}).items():
            tokens = event.tokens.get(name, 0)
            if total is not None and tokens:
                found.setdefault(name, []).append((event.step, total / tokens))
    return tuple(curve(name, points) for name, points in found.items())


def token_shares(seen: Seen) -> dict[str, float]:
    """Each domain's share of the target tokens trained on; empty where nobody counted."""
    totals: dict[str, int] = {}
    for event in seen.trained:
        for name, tokens in event.tokens.items():
            totals[name] = totals.get(name, 0) + tokens
    every = sum(totals.values())
    return {name: tokens / every for name, tokens in totals.items()} if every else {}


def weight_curves(logged: Sequence[Logged]) -> tuple[Curve, ...]:
    """What weighting did over the run: effective share, mean and spread of samples' weights."""
    found: dict[str, list[Point]] = {}
    for event in logged:
        told = event.weights
        figures = {
            "effective share": told.effective_share if told else event.means.get("dataflex/effective_share"),
            "mean weight": told.mean if told else None,
            "spread of weights": told.spread if told else None,
        }
        for name, value in figures.items():
            if value is not None:
                found.setdefault(name, []).append((event.step, value))
    return tuple(curve(name, points) for name, points in found.items())


def scores_of(seen: Seen) -> tuple[Scores, ...]:
    """The scores of each decision; of very many, of some evenly spread."""
    events = [event for event in by_decision(seen) if event.decision in seen.scores]
    if len(events) > _SHOWN:
        events = [events[i] for i in np.unique(np.linspace(0, len(events) - 1, _SHOWN).round().astype(int))]
    found = []
    for event in events:
        ids, scores = seen.scores[event.decision]
        usable = np.isfinite(scores)
        taken = np.isin(ids, seen.chosen(event))
        edges = np.histogram_bin_edges(scores[usable], bins=_BINS) if usable.any() else np.array([0.0, 1.0])
        lengths = None if seen.pool is None else seen.pool.lengths[ids]
        found.append(
            Scores(
                decision=event.decision,
                edges=tuple(edges.tolist()),
                judged=tuple(np.histogram(scores[usable], edges)[0].tolist()),
                chosen=tuple(np.histogram(scores[usable & taken], edges)[0].tolist()),
                count=int(usable.sum()),
                lost=int((~usable).sum()),
                mean=float(scores[usable].mean()) if usable.any() else None,
                spread=float(scores[usable].std()) if usable.any() else None,
                length_correlation=None if lengths is None else rank_correlation(scores, lengths),
                lengths=() if lengths is None else _dots(lengths, scores, taken, usable),
            )
        )
    return tuple(found)


def _dots(
    lengths: NDArray[np.int32], scores: NDArray[np.float32], taken: NDArray[np.bool_], usable: NDArray[np.bool_]
) -> tuple[tuple[int, float, bool], ...]:
    places = np.flatnonzero(usable)
    places = places[:: -(-len(places) // _DOTS) or 1]
    return tuple((int(lengths[i]), round(float(scores[i]), 6), bool(taken[i])) for i in places)


def lengths_of(seen: Seen) -> Lengths | None:
    """Tokens of the pool's samples and of what was trained on after the warm-up; None where nobody kept lengths."""
    events = by_decision(seen)
    ids = seen.trace.between(events[0].step, seen.step) if events else seen.trace.ids
    if seen.pool is None or not len(seen.pool.lengths) or not len(ids):
        return None
    pool, chosen = seen.pool.lengths, seen.pool.lengths[ids]
    edges = np.histogram_bin_edges(pool, bins=min(_BINS, max(1, int(pool.max() - pool.min()))))
    cutoff = seen.pool.cutoff_len
    return Lengths(
        edges=tuple(edges.tolist()),
        pool=tuple((np.histogram(pool, edges)[0] / len(pool)).tolist()),
        chosen=tuple((np.histogram(chosen, edges)[0] / len(chosen)).tolist()),
        pool_mean=float(pool.mean()),
        chosen_mean=float(chosen.mean()),
        cutoff_len=cutoff,
        pool_cut=float((pool >= cutoff).mean()),
        chosen_cut=float((chosen >= cutoff).mean()),
    )
