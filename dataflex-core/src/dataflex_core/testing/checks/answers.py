"""Answers: within the contract, the same for one seed, and the same on any number of ranks."""

from __future__ import annotations

from itertools import pairwise

from dataflex_core.spec import Kind
from dataflex_core.testing.checks import check
from dataflex_core.testing.compare import difference, parting
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.pools import ALIKE, ONE_SAMPLE, SOME_WITHOUT_LOSS
from dataflex_core.testing.runner import SEED, Subject, fitting, fitting_some, run_scenario
from dataflex_core.testing.scenarios import everyday, everyday_and_fresh, scenarios_over

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
        drew = drew or first.drew
        for seed in _OTHER_SEEDS:
            if difference(first.answers, run_scenario(subject, scenario, seed=seed)[0].answers):
                return
    if drew:
        raise CheckFailed(f"draws from request.rng, and answers seeds {SEED} to {_OTHER_SEEDS[-1]} alike")


@check()
def ranks_agree(subject: Subject) -> None:
    """1, 2 and 4 ranks take the same decisions, and every rank has the same state."""
    for scenario in fitting_some(subject, everyday_and_fresh(subject.spec.kind)):
        (alone,) = run_scenario(subject, scenario)
        for world in _WORLDS:
            every = run_scenario(subject, scenario, ranks=world)
            for rank, (before, after) in enumerate(pairwise(every), start=1):
                if told := parting(before, after):
                    raise CheckFailed(f"{scenario.name}, ranks {rank - 1} and {rank} of {world}, {told}")
            if told := parting(alone, every[0], exact=False):
                raise CheckFailed(f"{scenario.name}, 1 rank and {world}, {told}")


@check(Kind.SELECTOR, Kind.MIXER)
def collectives_match(subject: Subject) -> None:
    """Every rank asks signals the same questions in the same order, also a rank that has no samples."""
    kind = subject.spec.kind
    scenarios = [*everyday(kind), *scenarios_over(ONE_SAMPLE, kind), *scenarios_over(SOME_WITHOUT_LOSS, kind)]
    for scenario in fitting(subject, scenarios):
        for world in _WORLDS:
            run_scenario(subject, scenario, ranks=world)
