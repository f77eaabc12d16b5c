"""Which candidates are worth their gradients, by what a forward pass says of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataflex_core import SelectionRequest, Signals, domain_of, rounded_up, top
from dataflex_strategies.embedded import of_targets
from dataflex_strategies.neighbours import unit

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


def kept(request: SelectionRequest, shard: Ids, *, by: str, share: float, by_domain: bool) -> Ids:
    """The better ``share`` of the candidates, ascending, or of those of each domain; collective.

    ``by`` is ``losses``, the highest, or ``embeddings``, the nearest to the target set. Of all candidates no fewer than
    are to be chosen, unless all of them are: those are a probe, from which others' scores are predicted.
    """
    signals, every = request.signals, request.candidates
    values = signals.losses(shard) if by == "losses" else nearness(signals, shard)
    gathered = signals.gather(every, shard, values)
    if not by_domain:
        least = request.count if request.count < len(every) else 0
        return np.sort(top(every, gathered, max(least, rounded_up(share * len(every)))))
    of, parts = domain_of(request.domains, every), []
    for domain in np.unique(of):
        own = of == domain
        parts.append(top(every[own], gathered[own], rounded_up(share * np.count_nonzero(own))))
    return np.sort(np.concatenate(parts))


def nearness(signals: Signals, shard: Ids) -> Scores:
    """The highest cosine of each sample's embedding with the mean embedding of a target subtask, Float32[n]."""
    centres = unit(np.array([rows.mean(axis=0) for rows in of_targets(signals)], dtype=np.float32))
    own = unit(signals.embeddings(shard))
    # A product of matrices rounds by their shapes, and those by how many ranks there are.
    nearest: Scores = np.einsum("nh,kh->nk", own, centres).max(axis=1)
    return nearest
