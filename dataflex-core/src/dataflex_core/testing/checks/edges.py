"""Edges: pools, losses and budgets that a run may come to and that nobody tries first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import ScoringSelector, Strategy
from dataflex_core.errors import DataflexError
from dataflex_core.prepared import Chosen, implementation_of
from dataflex_core.requests import Selection, SelectionRequest
from dataflex_core.spec import Kind
from dataflex_core.testing.checks import check
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.pools import (
    ALIKE,
    ALL_WITHOUT_LOSS,
    EMPTY_DOMAIN,
    EVERYDAY,
    MANY_DOMAINS,
    ONE_DOMAIN,
    ONE_SAMPLE,
    SOME_WITHOUT_LOSS,
    Pool,
)
from dataflex_core.testing.runner import Subject, fitting, fitting_some, run_scenario
from dataflex_core.testing.scenarios import budgets, fresh, predicted, scenarios_over, without_a_domain

_UNPREDICTABLE = "one that keeps what it scored for choose() says predictable=False"
Choose = Callable[[SelectionRequest, NDArray[np.float32]], Selection]


@dataclass(frozen=True, kw_only=True)
class _Watched(Subject):
    """A strategy whose choices are compared with its scores."""

    def build(self, chosen: Chosen) -> Strategy[Any]:
        strategy = super().build(chosen)
        if isinstance(strategy, ScoringSelector):
            strategy.__dict__["choose"] = _watched(strategy.choose)
        return strategy


def _watched(choose: Choose) -> Choose:
    @wraps(choose)
    def watched(request: SelectionRequest, scores: NDArray[np.float32]) -> Selection:
        unscored = request.candidates[np.isnan(scores.reshape(len(scores), -1)).any(axis=1)]
        made = choose(request, scores)
        if chosen := np.intersect1d(unscored, made.ids).tolist():
            raise CheckFailed(f"step {request.progress.step}: chooses {chosen}, whose score is NaN")
        return made

    return watched


def _run_over(subject: Subject, pool: Pool) -> None:
    for scenario in fitting(subject, scenarios_over(pool, subject.spec.kind)):
        run_scenario(subject, scenario)


@check()
def one_domain(subject: Subject) -> None:
    """A pool may have one domain."""
    _run_over(subject, ONE_DOMAIN)


@check()
def many_domains(subject: Subject) -> None:
    """A pool may have forty domains, some of a single sample."""
    _run_over(subject, MANY_DOMAINS)


@check()
def empty_domain(subject: Subject) -> None:
    """A domain may have no samples."""
    _run_over(subject, EMPTY_DOMAIN)


@check()
def one_sample(subject: Subject) -> None:
    """A pool may have one sample, and a batch too, but for a weighter that compares samples."""
    _run_over(subject, ONE_SAMPLE)


@check()
def equal_losses(subject: Subject) -> None:
    """Samples may be alike, with the same loss, gradient and embedding."""
    _run_over(subject, ALIKE)


@check()
def nan_losses(subject: Subject) -> None:
    """Samples without a target token have NaN for a loss, some of them or all; a score of NaN is never chosen."""
    watched = _Watched(spec=subject.spec, values=subject.values)
    _run_over(watched, SOME_WITHOUT_LOSS)
    with suppress(DataflexError):  # a strategy may say itself that there is nothing to choose
        _run_over(watched, ALL_WITHOUT_LOSS)


@check(Kind.SELECTOR)
def budget_edges(subject: Subject) -> None:
    """One sample, all, more than all, and none of a domain may be asked for."""
    for scenario in fitting_some(subject, [*budgets(EVERYDAY), *budgets(ONE_DOMAIN)]):
        run_scenario(subject, scenario)


@check(Kind.SELECTOR)
def fresh_candidates(subject: Subject) -> None:
    """Each decision may judge the next unread samples alone, unless the spec says that it takes the whole pool."""
    for scenario in () if subject.spec.whole_pool else fitting(subject, fresh(EVERYDAY)):
        run_scenario(subject, scenario)


@check(Kind.SELECTOR)
def predicted_scores(subject: Subject) -> None:
    """Some scores may be predicted from those of a few candidates, unless the spec says ``predictable=False``."""
    if not (subject.spec.predictable and issubclass(implementation_of(subject.record), ScoringSelector)):
        return
    for scenario in fitting(subject, predicted(EVERYDAY)):
        try:
            run_scenario(subject, scenario)
        except CheckFailed as wrong:
            raise CheckFailed(f"{scenario.name}: {wrong}; {_UNPREDICTABLE}") from wrong
        except Exception as wrong:
            wrong.add_note(f"with some scores predicted ({_UNPREDICTABLE})")
            raise


@check(Kind.MIXER)
def undrawn_domains(subject: Subject) -> None:
    """A domain may be missing from a step, or from all: no samples, no tokens, a loss of zero."""
    for scenario in fitting(subject, [without_a_domain(EVERYDAY)]):
        run_scenario(subject, scenario)
