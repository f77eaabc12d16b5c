"""Losses, scores, lengths and weights, as curves and counts. Pure functions of what a run left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.choice import after_warmup
from dataflex_cli.report.model import Lengths
from dataflex_cli.report.reading import Point, Seen
from dataflex_core.journal import Logged, Trained
from dataflex_core.journal.figures import enrichment
from dataflex_core.spec import Kind

_POINTS = 1000
_BINS = 40


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


def fitted_losses(seen: Seen, measured: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves that a mixer fitted last to domains whose losses were ``measured``, over the same steps.

    By its figures ``exponent/DOMAIN``, ``scale/DOMAIN`` and ``irreducible/DOMAIN``: scale · samples^-exponent +
    irreducible, of all samples that were trained on until then.
    """
    told = [notes for event in seen.decisions if (notes := event.notes.get(Kind.MIXER.value))]
    found = []
    for one in measured:
        names = [f"{what}/{one.name}" for what in ("scale", "exponent", "irreducible")]
        if told and all(name in told[-1] for name in names):
            scale, exponent, least = (told[-1][name] for name in names)
            samples = np.array(one.steps, dtype=np.float64) * seen.start.global_batch
            name = f"{one.name}, fitted: exponent {exponent:.2f}, irreducible {least:.2f}"
            values = (scale * samples**-exponent + least).tolist()
            found.append(Curve(name=name, steps=one.steps, values=tuple(values)))
    return tuple(found)


def token_shares(seen: Seen) -> dict[str, float]:
    """Each domain's share of the target tokens trained on; empty where nobody counted.

    Of what decisions chose, where there are any: of all between two logs that was not of the warm-up alone.
    """
    totals: dict[str, int] = {}
    begin = seen.start.warmup_steps if seen.decisions else 0
    for event in seen.trained:
        if event.step <= begin:
            continue
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


def domain_weights(seen: Seen) -> tuple[Curve, ...]:
    """What a target token of each domain counted in the loss, where the mean of all is 1, of several domains."""
    found: dict[str, list[Point]] = {}
    for event in seen.trained:
        for name, value in _relative_weights([event]).items():
            found.setdefault(name, []).append((event.step, value))
    return tuple(curve(name, points) for name, points in found.items())


def weights_over_run(seen: Seen) -> dict[str, float]:
    """As `domain_weights`, of all that was weighed."""
    return _relative_weights(seen.trained)


def _relative_weights(events: Sequence[Trained]) -> dict[str, float]:
    """Empty where nothing was weighed, or there is but one domain."""
    weights, tokens = dict[str, float](), dict[str, int]()
    for event in events:
        for name, total in (event.weights or {}).items():
            if total is not None and event.tokens[name]:
                weights[name] = weights.get(name, 0.0) + total
                tokens[name] = tokens.get(name, 0) + event.tokens[name]
    return enrichment(weights, tokens) if len(weights) > 1 and sum(weights.values()) > 0 else {}


def lengths_of(seen: Seen) -> Lengths | None:
    """Tokens of the pool's samples and of what was trained on after the warm-up; None where nobody kept lengths."""
    ids = after_warmup(seen, seen.step)
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
        pool_cut=float((pool >= cutoff).mean()) if cutoff else 0.0,
        chosen_cut=float((chosen >= cutoff).mean()) if cutoff else 0.0,
    )
