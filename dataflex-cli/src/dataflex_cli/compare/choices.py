"""What runs chose, side by side: shares of domains, and samples that they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex_cli.compare.model import Overlap
from dataflex_cli.report.choice import after_warmup, overlap_by_chance, pool_size, trained_on
from dataflex_cli.report.comparable import pool_differs
from dataflex_cli.report.reading import Seen
from dataflex_core.journal.figures import overlap, shares


def shares_of(seen: Seen) -> dict[str, float]:
    """Each domain's share of what a run trained on after its warm-up."""
    return shares(trained_on(after_warmup(seen, seen.step), seen.start.domains))


def overlap_of(names: Sequence[str], runs: Sequence[Seen]) -> Overlap:
    """Of what was chosen up to the last step that all runs have done, or why it cannot be told."""
    why_not = pools_differ(names, runs) or _had_other_data(names, runs)
    if why_not is not None:
        return Overlap(why_not=why_not)
    step = min(seen.step for seen in runs)
    sets = [np.unique(after_warmup(seen, step)) for seen in runs]
    if early := [i for i, ids in enumerate(sets) if not len(ids)]:
        first = names[min(early, key=lambda i: runs[i].step)]
        return Overlap(step=step, why_not=f"{first} has chosen nothing yet, at step {step}")
    pool = pool_size(runs[0])
    matrix = [[overlap(one, other) for other in sets] for one in sets]
    chance = [[overlap_by_chance(len(one), len(other), pool) for other in sets] for one in sets]
    return Overlap(step=step, matrix=tuple(map(tuple, matrix)), chance=tuple(map(tuple, chance)))


def pools_differ(names: Sequence[str], runs: Sequence[Seen]) -> str | None:
    """How the pool of one of the runs differs from that of the first."""
    told = (pool_differs(names[0], runs[0], name, seen) for name, seen in zip(names[1:], runs[1:], strict=True))
    return next((why for why in told if why is not None), None)


def _had_other_data(names: Sequence[str], runs: Sequence[Seen]) -> str | None:
    changed = (name for name, seen in zip(names, runs, strict=True) if seen.since is not None)
    return next((f"{name} went on with other data than it began with" for name in changed), None)
