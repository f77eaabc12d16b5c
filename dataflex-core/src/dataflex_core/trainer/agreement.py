"""All ranks have decided alike, or are stopped."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from dataflex_core.collectives import Ranks
from dataflex_core.planning.plan import Plan
from dataflex_core.prepared import MIXER, SELECTOR, Chosen, Slot
from dataflex_core.strategy_faults import disagreement


def agree(plan: Plan, chosen: Mapping[Slot, Chosen], ranks: Ranks, step: int) -> None:
    """Raise `RanksDisagree`, on every rank, where one has made another ``plan`` before optimizer step ``step``.

    Names the strategy of the run's ``chosen`` that decided otherwise. Collective: eight bytes of each rank, where all
    agree.
    """
    weights = np.zeros(0) if plan.loss_weights is None else plan.loss_weights
    decided: tuple[tuple[Slot, Any], ...] = (
        (MIXER, np.concatenate([plan.proportions, weights]).astype("<f8")),
        (SELECTOR, plan.ids.astype("<i8")),
    )
    digests = {slot: sha256(decision.tobytes()).digest() for slot, decision in decided}
    if not ranks.differing(sha256(b"".join(digests.values())).digest()):
        return
    for slot, digest in digests.items():
        if odd := ranks.differing(digest):
            title = chosen[slot].title if slot in chosen else "the plan"
            raise disagreement(title, step, odd)
