"""Answers: within the contract, the same for one seed, and the same on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.spec import Kind
from dataflex_core.testing.checks import check
from dataflex_core.testing.compare import difference, parting
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.pools import ALIKE, EVERYDAY, ONE_DOMAIN, ONE_SAMPLE, SOME_WITHOUT_LOSS
from dataflex_core.testing.runner import SEED, Subject, fitting, fitting_some, run_scenario
from dataflex_core.testing.scenarios import everyday, everyday_and_fresh, in_parts, scenarios_over

_OTHER_SEEDS = range(SEED + 1, SEED + 51)  # a strategy may draw a lot and seldom act on it
_WORLDS = (2, 4)


@check(Kind.SELECTOR)
def selections_fit(subject: Subject) -> None:
    """A selection is distinct sample ids, of the candidates, no more than asked for, and some where any is usable."""
    _answers(subject)


@check(Kind.MIXER)
def proportions_fit(subject: Subject) -> None:
    """Proportions are one number a domain, finite, >= 0 and not all zero."""
    _answers(subject)


@check(Kind.WEIGHTER)
def weights_fit(subject: Subject) -> None:
    """Weights are one number a sample or a token, finite, >= 0 and not all zero over the target tokens."""
    _answers(subject)


def _answers(subject: Subject) -> None:
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        run_scenario(subject, scenario)


@check(Kind.WEIGHTER)
def weights_are_detached(subject: Subject) -> None:
    """Weights take no part in differentiation."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        (trace,) = run_scenario(subject, scenario)
        if trace.attached:
            raise CheckFailed("weights require a gradient: detach() them")


@check(Kind.WEIGHTER)
def parts_weigh_alike(subject: Subject) -> None:
    """A weighter that says it compares no samples, and draws no random numbers, weighs a window and its parts alike."""
    if subject.spec.compares:
        return
    for pool in (EVERYDAY, ONE_DOMAIN):
        found = fitting(subject, in_parts(pool))
        if not found:
            continue
        once, apart = (run_scenario(subject, scenario)[0] for scenario in found)
        if once.drew:
            continue
        for title, (weights, *_) in (answer for answer in once.answers if answer[1]):
            parts = [answer[0] for name, answer in apart.answers if name.startswith(f"{title}, ")]
            _compare_parts(f"{pool.name}, {title}", weights, parts)


def _compare_parts(where: str, whole: NDArray[Any], parts: Sequence[NDArray[Any]]) -> None:
    rows = [row for part in parts for row in part]
    for number, (row, alone) in enumerate(zip(whole, rows, strict=True)):
        if not np.allclose(row[: len(alone)], alone, rtol=1e-4, atol=1e-6):
            raise CheckFailed(
                f"{where}: weighs sample {number} of the window otherwise in a micro-batch of its own; "
                "say compares=True, which is the default"
            )


@check()
def same_seed_same_answer(subject: Subject) -> None:
    """Two runs of one seed are given the same answers."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        (first,), (second,) = run_scenario(subject, scenario), run_scenario(subject, scenario)
        if told := parting(first, second):
            raise CheckFailed(f"{scenario.name}, the same seed twice, {told}; draw from request.rng only")


@check()
def another_seed_another_answer(subject: Subject) -> None:
    """A strategy that draws random numbers answers otherwise for another seed."""
    drew = False
    for scenario in fitting_some(subject, [*everyday(subject.spec.kind), *scenarios_over(ALIKE, subject.spec.kind)]):
        (first,) = run_scenario(subject, scenario)
        if not first.drew:
            continue
        drew = True
        for seed in _OTHER_SEEDS:
            if difference(first.answers, run_scenario(subject, scenario, seed=seed)[0].answers):
                return
    if drew:
        raise CheckFailed(f"draws from request.rng, and answers seeds {SEED} to {_OTHER_SEEDS[-1]} alike")


@check()
def ranks_agree(subject: Subject) -> None:
    """1, 2 and 4 ranks take the same decisions, and every rank has the same state."""
    for scenario in fitting_some(subject, everyday_and_fresh(subject.spec)):
        (alone,) = run_scenario(subject, scenario)
        for world in _WORLDS:
            every = run_scenario(subject, scenario, ranks=world)
            for rank, (before, after) in enumerate(pairwise(every), start=1):
                if told := parting(before, after):
                    raise CheckFailed(f"{scenario.name}, ranks {rank - 1} and {rank} of {world}, {told}")
            if told := parting(alone, every[0], exact=False):
                raise CheckFailed(f"{scenario.name}, 1 rank and {world}, {told}")


@check(Kind.SELECTOR)
def scores_agree(subject: Subject) -> None:
    """Scores, which a run journals, do not depend on how samples are dealt to ranks, nor on the number of ranks."""
    for scenario in fitting_some(subject, everyday_and_fresh(subject.spec)):
        (alone,) = run_scenario(subject, scenario)
        for world in _WORLDS:
            if told := difference(alone.scores, run_scenario(subject, scenario, ranks=world)[0].scores, exact=False):
                raise CheckFailed(f"{scenario.name}, 1 rank and {world}, the scores of {told}")


@check()
def collectives_match(subject: Subject) -> None:
    """Every rank asks signals the same questions in the same order, also a rank that has no samples."""
    kind = subject.spec.kind
    scenarios = [*everyday(kind), *scenarios_over(ONE_SAMPLE, kind), *scenarios_over(SOME_WITHOUT_LOSS, kind)]
    for scenario in fitting(subject, scenarios):
        for world in _WORLDS:
            run_scenario(subject, scenario, ranks=world)


@check(Kind.SELECTOR)
def orders_are_kept(subject: Subject) -> None:
    """An ordered selection is trained in its order, which beside a mixer asks for one of every domain or of none."""
    for scenario in fitting_some(subject, everyday_and_fresh(subject.spec)):
        (trace,) = run_scenario(subject, scenario)
        if trace.disordered:
            raise CheckFailed(
                f"{scenario.name}, {trace.disordered[0]}: the order is lost; answer with ordered=True for every domain"
            )
