"""The event of a decision, from the plan that it came to."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex_core.domains import Domain
from dataflex_core.journal.events import Decision
from dataflex_core.journal.facts import ShortageFact
from dataflex_core.planning.exhaustion import Shortage
from dataflex_core.planning.plan import Plan
from dataflex_core.requests import Progress


def decision_of(plan: Plan, domains: Sequence[Domain], progress: Progress, seconds: float) -> Decision:
    """What a plan of ``domains`` was decided to be, where the run stood at ``progress``, in so many seconds."""

    def name(short: Shortage) -> str | None:
        return domains[short.domain].name if short.domain is not None and plan.split else None

    names, weights = [domain.name for domain in domains], plan.loss_weights
    return Decision(
        decision=plan.interval.decision,
        step=plan.interval.start,
        until=plan.interval.stop,
        chosen=dict(zip(names, plan.counts, strict=True)),
        proportions=dict(zip(names, plan.proportions.tolist(), strict=True)) if plan.split else None,
        judged=plan.judged,
        shortages=tuple(
            ShortageFact(domain=name(short), wanted=short.wanted, had=short.had, action=short.action)
            for short in plan.shortages
        ),
        plan=plan.digest,
        seconds=round(seconds, 3),
        epoch=progress.epoch,
        learning_rate=progress.learning_rate,
        loss_weights=None if weights is None else dict(zip(names, weights.tolist(), strict=True)),
        notes=plan.notes,
        dropped={who: short.dropped for short in plan.shortages if (who := name(short)) and short.dropped},
    )
