"""Losses of the samples that are kept out of training, by domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflex_core import MixRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def held_out_losses(request: MixRequest, *, model: str | None = None) -> NDArray[np.float64]:
    """The mean loss of a target token of each domain's held-out samples, Float64[K]; NaN where there is none.

    Of the model in training, or of a reference ``model``. Collective; one forward pass a sample. Takes `Need.HOLDOUT`
    and `Need.LOSSES`.
    """
    import numpy as np

    means = np.full(len(request.domains), np.nan)
    for k, domain in enumerate(request.domains):
        held = request.signals.holdout(domain.name)
        ids = np.arange(len(held))
        shard = held.shard(ids)
        losses = held.gather(ids, shard, held.losses(shard, model=model)).astype(np.float64)
        tokens = held.target_tokens(ids)
        known = np.isfinite(losses) & (tokens > 0)
        if known.any():
            means[k] = np.average(losses[known], weights=tokens[known])
    return means
