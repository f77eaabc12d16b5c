"""From what a run left to the numbers of its report."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from dataflex_cli.report.alerts import alerts_of
from dataflex_cli.report.alike import leaks_of, twins_of
from dataflex_cli.report.changes import changes_of, named
from dataflex_cli.report.choice import after_warmup, by_decision, enriched, overlaps, repeats, taken_of, trained_on
from dataflex_cli.report.cost import cost_of
from dataflex_cli.report.curves import (
    curve,
    domain_losses,
    domain_weights,
    fitted_losses,
    lengths_of,
    token_shares,
    weight_curves,
    weights_over_run,
)
from dataflex_cli.report.judged import judged_of
from dataflex_cli.report.model import ReportData, RunFacts
from dataflex_cli.report.pasted import section_of
from dataflex_cli.report.reading import Seen
from dataflex_cli.report.samples import samples_of, weighed_of
from dataflex_cli.report.versus import held_against, verdict_of
from dataflex_cli.report.words import words_of
from dataflex_core.errors import DataError
from dataflex_core.journal import End, Failed, Fallback, Resume, Start, mixed
from dataflex_core.journal.figures import shares


def report_of(seen: Seen, others: Sequence[tuple[str, Seen]] = ()) -> ReportData:
    """All numbers of a run's report, with those of runs that it is held against, by name."""
    against = held_against(seen, others)
    trained = seen.trace.ids
    lengths = None if seen.pool is None else seen.pool.lengths
    scores, bands = judged_of(seen.judged(), len(seen.decisions), lengths)
    samples, targets = samples_of(seen)
    counts = trained_on(after_warmup(seen, seen.step), seen.start.domains) if by_decision(seen) else {}
    measured = domain_losses(seen)
    data = ReportData(
        run=_facts(seen),
        losses=curve("loss", seen.losses),
        evaluations=tuple(curve(name, points) for name, points in seen.evaluations.items()),
        domain_losses=measured,
        fitted_losses=fitted_losses(seen, measured),
        decisions=taken_of(seen),
        pool_shares=shares(seen.start.domains),
        token_shares=token_shares(seen),
        trained=trained_on(trained, seen.start.domains),
        enrichment=enriched(counts, seen.start.domains),
        bands=bands,
        cost=cost_of(seen),
        scores=scores,
        overlap=overlaps(seen),
        repeats=repeats(trained),
        lengths=lengths_of(seen),
        weights=weight_curves(seen.logged),
        domain_weights=domain_weights(seen),
        weights_over_run=weights_over_run(seen),
        samples=samples,
        targets=targets,
        weighed=weighed_of(seen),
        leaks=leaks_of(seen),
        twins=twins_of(samples),
        verdict=verdict_of(against),
        against=against,
        proportions=_proportions(seen, counts),
        provenance=_provenance(seen),
    )
    data = replace(data, words=words_of(data))
    return replace(data, alerts=alerts_of(data))


def state_of(seen: Seen) -> str:
    """``finished``, ``failed``, or ``unfinished``: going on, or killed."""
    return "finished" if isinstance(seen.end, End) else "failed" if isinstance(seen.end, Failed) else "unfinished"


def _facts(seen: Seen) -> RunFacts:
    start, end = seen.start, seen.end
    later = [event.strategies for event in seen.resumes if event.strategies is not None]
    return RunFacts(
        name=seen.folder.resolve().name,
        run=start.run,
        state=state_of(seen),
        step=seen.step,
        steps=start.steps,
        error=end.error if isinstance(end, Failed) else None,
        hint=end.hint if isinstance(end, Failed) else None,
        strategies=named(start.strategies),
        kinds=tuple(dict.fromkeys(fact.kind for facts in (start.strategies, *later) for fact in facts)),
        model=start.model,
        domains=dict(start.domains),
        targets=dict(start.targets),
        warmup_steps=start.warmup_steps,
        update_steps=start.update_steps,
        decisions=start.decisions,
        global_batch=start.global_batch,
        ranks=start.ranks,
        seed=start.seed,
        resumes=tuple(event.step for event in seen.resumes),
        samples=len(seen.trace.ids),
        unit="samples" if start.mean_tokens is None else "tokens",
        since=seen.since,
        changes=changes_of(seen),
        rows=dict(start.rows),
        unique=len(np.unique(seen.trace.ids)),
        exact_floor=None if start.exact is None else start.config.get("exact_floor"),
    )


def _proportions(seen: Seen, counts: Mapping[str, int]) -> str:
    """What a mixer came to, or else what was chosen, as a mixer that gives it from the start, in YAML."""
    try:
        found = mixed(seen.run)
    except DataError:
        return section_of(shares(counts) or shares(seen.start.domains), "samples")
    return section_of(found.mean, found.unit)


def _resumed(event: Resume) -> dict[str, Any]:
    told: dict[str, Any] = {"step": event.step, "checkpoint": event.checkpoint}
    if event.changed:
        told["changed"] = list(event.changed)
    if event.strategies is not None:
        told["strategies"] = [asdict(fact) for fact in event.strategies]
    return told


def _provenance(seen: Seen) -> dict[str, Any]:
    start: Start = seen.start
    return {
        "folder": str(seen.folder.resolve()),
        "run": start.run,
        "strategies": [asdict(fact) for fact in start.strategies],
        "seed": start.seed,
        "ranks": start.ranks,
        "model": start.model,
        "versions": dict(start.versions),
        "config": dict(start.config),
        "arguments": dict(start.arguments),
        "machine": {} if seen.pool is None else dict(seen.pool.machine),
        "resumes": [_resumed(event) for event in seen.resumes],
        "plans": [{"decision": event.decision, "step": event.step, "plan": event.plan} for event in seen.every],
        "notices": [event.text for event in seen.notices],
        "fallbacks": [{"kind": n.kind, "text": n.text} for n in seen.notices if isinstance(n, Fallback)],
        "dropped": {name: asdict(fact) for name, fact in start.dropped.items()},
        "cut": {name: asdict(fact) for name, fact in start.cut.items()},
        "reported with": f"Python {platform.python_version()}",
    }
