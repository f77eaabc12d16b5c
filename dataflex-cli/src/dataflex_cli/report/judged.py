"""The scores of what decisions judged: distributions, bands, and what goes with length. One decision at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dataflex_cli.report.model import Enrichment, Scores
from dataflex_core.journal.figures import largest, rank_correlation
from dataflex_core.journal.scores import DecisionScores

BANDS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")
_BINS = 40
_DOTS = 400
_SHOWN = 200

Floats = NDArray[np.float64]


def judged_of(
    decisions: Iterable[DecisionScores], count: int, lengths: NDArray[np.int32] | None
) -> tuple[tuple[Scores, ...], tuple[Enrichment, ...]]:
    """The scores of each of ``count`` decisions, of very many of some evenly spread, and the bands of all together.

    ``lengths`` are the tokens of the pool's samples, by id. A band is a fifth of what a decision judged, by rank:
    scores that are all the same make none, nor do those of what was chosen alone.
    """
    found: dict[tuple[int, int], Scores] = {}
    judged, taken = np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for one in decisions:
        values = largest(one.scores).astype(np.float64)
        usable, stands, chosen = np.isfinite(values), one.stands_for, one.chosen
        if one.of_all and usable.any() and np.ptp(values[usable]) > 0:
            band = fifths(values[usable], stands[usable])
            judged += np.bincount(band, stands[usable], minlength=len(BANDS))
            taken += np.bincount(band, chosen[usable], minlength=len(BANDS))
        if one.decision % (count // _SHOWN + 1) == 0 or count <= _SHOWN:
            found[one.step or 0, one.decision] = _scores(
                one, values, usable, None if lengths is None else lengths[one.ids]
            )
    return tuple(found[which] for which in sorted(found)), _bands(judged, taken)[::-1]


def fifths(scores: Floats, stands_for: Floats) -> NDArray[np.int64]:
    """Which fifth by rank each score is in, 0 the lowest: Int64[n]. Each stands for so many."""
    order = np.argsort(scores, kind="stable")
    before = np.cumsum(stands_for[order]) - stands_for[order] / 2
    band = np.empty(len(scores), dtype=np.int64)
    band[order] = np.minimum(before / max(stands_for.sum(), 1e-9) * len(BANDS), len(BANDS) - 1).astype(np.int64)
    return band


def _bands(judged: Floats, taken: Floats) -> tuple[Enrichment, ...]:
    if not judged.sum() or not taken.sum():
        return ()
    there, had = judged / judged.sum(), taken / taken.sum()
    return tuple(
        Enrichment(name=name, pool=float(p), chosen=float(c), ratio=float(c / p) if p else 0.0)
        for name, p, c in zip(BANDS, there, had, strict=True)
    )


def _scores(
    one: DecisionScores, values: Floats, usable: NDArray[np.bool_], lengths: NDArray[np.int32] | None
) -> Scores:
    known, stands, chosen = values[usable], one.stands_for[usable], one.chosen[usable] > 0
    edges = np.histogram_bin_edges(known, bins=_BINS) if len(known) else np.array([0.0, 1.0])
    mean = float(np.average(known, weights=stands)) if len(known) else None
    return Scores(
        decision=one.decision,
        step=one.step or 0,
        edges=tuple(edges.tolist()),
        judged=_counted(known, edges, stands),
        chosen=_counted(known[chosen], edges, stands[chosen]),
        count=round(float(stands.sum())),
        lost=round(float(one.stands_for[~usable].sum())),
        mean=mean,
        spread=None if mean is None else float(np.sqrt(np.average((known - mean) ** 2, weights=stands))),
        length_correlation=None if lengths is None else rank_correlation(values, lengths),
        lengths=() if lengths is None else _dots(lengths, values, one.chosen > 0, usable),
        of_all=one.of_all,
        by_number=bool(chosen.any() and not chosen.all() and chosen[: chosen.sum()].all()),
    )


def _counted(values: Floats, edges: Floats, stands_for: Floats) -> tuple[int, ...]:
    return tuple(np.histogram(values, edges, weights=stands_for)[0].round().astype(np.int64).tolist())


def _dots(
    lengths: NDArray[np.int32], scores: Floats, taken: NDArray[np.bool_], usable: NDArray[np.bool_]
) -> tuple[tuple[int, float, bool], ...]:
    places = np.flatnonzero(usable)
    places = places[:: -(-len(places) // _DOTS) or 1]
    return tuple((int(lengths[i]), round(float(scores[i]), 6), bool(taken[i])) for i in places)
