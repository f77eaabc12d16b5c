"""How many candidates a decision judges, how many of them it scores, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from dataflex_core.config.section import SECTION
from dataflex_core.errors import DataError, InvalidConfig
from dataflex_core.explaining import most_of, reckoned
from dataflex_core.planning.probe import SMALLEST, Probing
from dataflex_core.planning.schedule import Schedule, affordable, candidates_for_budget
from dataflex_core.prepared import SELECTOR, Chosen, PreparedRun
from dataflex_core.shares import rounded_down, rounded_up

LEAST_EXACT = 0.1
"""How few of what is chosen a selection budget lets a decision score before it judges fewer candidates instead."""
_AVERAGED = 1024  # decisions, whose costs are asked for


def candidates_of(
    prepared: PreparedRun,
    pool: int,
    targets: Mapping[str, int],
    global_batch: int,
    schedule: Schedule,
    layers: int | None,
) -> tuple[int, Probing | None, float]:
    """Candidates per decision, how some of them are scored if not all, and the cost in samples trained on.

    Raises a `UsageError` where the pool is smaller than an interval, the selector is to be given all of it and is not,
    or a selection budget pays for too few.
    """
    config, selector = prepared.config.dataflex, prepared.strategies.get(SELECTOR)
    if selector is None:
        return 0, None, 0.0
    spec = selector.record.spec
    chosen = schedule.longest * global_batch
    if chosen > pool:
        raise DataError(
            f"an interval trains on {chosen} samples ({chosen // global_batch} steps of {global_batch}), "
            f"the pool has {pool}",
            hint=f"set dataflex.update_steps to at most {pool // global_batch}"
            if pool >= global_batch
            else "use a smaller batch, or more data",
            key=(SECTION, "update_steps"),
        )
    fixed = sum(targets.values()) * _mean_target_cost(selector, schedule.decisions, layers)
    explained = most_of(schedule.decisions) if prepared.explains else 0
    # The first decision, and so the dearest where answers of frozen models are kept.
    cost = selector.cost(decision=1, layers=layers)
    if config.selection_budget is None:
        multiple = math.inf if config.candidates == "all" else config.candidates
        probing = _asked_for(prepared)
    else:
        multiple, probing = _paid_for(
            selector, prepared, pool=pool, chosen=chosen, cost=cost, fixed=fixed, explained=explained
        )
    judged = min(pool, rounded_up(multiple * chosen)) if math.isfinite(multiple) else pool
    if spec.whole_pool and judged < pool:
        key = "candidates" if config.selection_budget is None else "selection_budget"
        raise InvalidConfig(
            f"selector {spec.name} has to be given the whole pool of {pool} samples, and would be given {judged}",
            hint="set dataflex.candidates: all",
            key=(SECTION, key),
        )
    scored = judged if probing is None else min(judged, probing.size(chosen))
    judging = scored * cost + fixed
    return judged, probing, judging + int(reckoned(judging, explained))


def _mean_target_cost(selector: Chosen, decisions: int, layers: int | None) -> float:
    """Of one sample of the target set, at a decision: not all may make a pass over it."""
    known = range(1, min(max(decisions, 1), _AVERAGED) + 1)
    return fmean(selector.target_cost(decision, layers=layers) for decision in known)


def _asked_for(prepared: PreparedRun) -> Probing | None:
    """What the configuration says of scores that are predicted, where the selector has some that can be."""
    config = prepared.config.dataflex
    if config.exact == "all" or not prepared.predicts:
        return None
    return Probing(ratio=config.exact, floor=config.exact_floor)


def _paid_for(
    selector: Chosen, prepared: PreparedRun, *, pool: int, chosen: int, cost: float, fixed: float, explained: int
) -> tuple[float, Probing | None]:
    """Candidates, as a multiple of the ``chosen``, and how they are scored, for a selection budget.

    Where the budget does not pay for scoring all candidates, and scores can be predicted, all stay candidates and as
    many are scored as it pays for, down to `LEAST_EXACT` of the chosen; only under that, or where they cannot be
    predicted, there are fewer candidates, all of them scored. It pays for having ``explained`` so many samples, too.
    """
    config = prepared.config.dataflex
    assert config.selection_budget is not None
    asked, budget = _asked_for(prepared), config.selection_budget
    paid = affordable(budget=budget, chosen=chosen, cost=cost, fixed=fixed, explained=explained)
    if paid >= (pool if asked is None else min(pool, asked.size(chosen))):
        return math.inf, asked
    least = max(SMALLEST, rounded_up(LEAST_EXACT * chosen))
    if selector.predictable and paid >= least:
        scored = rounded_down(paid)
        return math.inf, Probing(ratio=scored / chosen, floor=config.exact_floor, paid=True)
    multiple = candidates_for_budget(
        budget=budget,
        chosen=chosen,
        cost=cost,
        fixed=fixed,
        explained=explained,
        least=least if selector.predictable else None,
    )
    return multiple, None
