"""K-center greedy on embeddings, weighted by the loss (after Sener and Savarese, 2018, arXiv:1708.00489)."""

from __future__ import annotations

from dataflex_core import Kind, Need, NoParams, Selection, Selector, StrategySpec, hookimpl


@hookimpl
def dataflex_strategies():
    """The one strategy of this file."""
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="k-center",
        target="k_center:KCenter",
        summary="hard samples that are far from each other",
        reference="arXiv:1708.00489",
        needs={Need.LOSSES, Need.EMBEDDINGS},
    )


class KCenter(Selector[NoParams]):
    """Takes the sample with the highest loss, then again and again the one with the largest distance times loss."""

    def select(self, request):
        """Asks two signals of this process's share, and decides from everybody's answers."""
        shard = request.signals.shard(request.candidates)
        losses = request.signals.gather(request.candidates, shard, request.signals.losses(shard))
        points = request.signals.gather(request.candidates, shard, request.signals.embeddings(shard))
        rows, scores = centers(points, losses, request.count)
        return Selection(ids=request.candidates[rows], scores=scores)


def centers(points, losses, count):
    """At most ``count`` rows of ``points`` [N, H], and why each was taken; never one whose loss, of [N], is NaN."""
    import numpy as np

    rows, scores, points = [], [], points.astype(np.float64)
    left, nearest = ~np.isnan(losses), np.ones(len(losses))
    while left.any() and len(rows) < count:
        gains = np.where(left, losses * nearest, -np.inf)
        row = int(gains.argmax())
        distances = np.linalg.norm(points - points[row], axis=1)
        nearest = np.minimum(nearest, distances) if rows else distances
        left[row] = False
        rows.append(row)
        scores.append(gains[row])
    return np.array(rows, dtype=np.int64), np.array(scores, dtype=np.float32)
