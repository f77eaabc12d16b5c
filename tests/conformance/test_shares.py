"""Proportions hold over a run, whatever a mixer answers: the planner carries what an interval could not give."""

from __future__ import annotations

import numpy as np
import pytest

from conformance import sound
from conformance.test_strategies import INSTALLED
from dataflex_core import Kind
from dataflex_core.planning.planner import Planner
from dataflex_core.planning.schedule import Schedule
from dataflex_core.testing.pools import MANY_DOMAINS
from dataflex_core.testing.runner import Subject, run_scenario
from dataflex_core.testing.scenarios import Scenario
from dataflex_core.testing.steps import Deciding, Observing

BATCH, STEPS = 4, 120
PARAMS = {
    "ado": {"start": 20, "every": 30, "spacing": 2},
    "sheared": {"target_losses": [1.0] * 40},
    "static": {"proportions": [1.0 + k % 7 for k in range(40)]},
}
MIXERS = [spec for spec in (*INSTALLED, *sound.dataflex_strategies(), *sound.OTHERS) if spec.kind is Kind.MIXER]
# A domain of proportion zero keeps what it is owed, so that the others may run ahead by more than one sample.
ALWAYS_POSITIVE = [spec for spec in MIXERS if spec is not sound.SPARSE]


@pytest.fixture
def plans(monkeypatch):
    """The plans of a run that decides at each step, by what the kit asks of the planner."""
    made = []
    decide = Planner.decide

    def kept(self, *args):
        made.append(decide(self, *args))
        return made[-1]

    monkeypatch.setattr(Planner, "decide", kept)

    def run(spec):
        steps = [
            asked
            for step in range(1, STEPS + 1)
            for asked in (Deciding(step=step), Observing(step=step, samples=np.arange(step % 90, step % 90 + BATCH)))
        ]
        scenario = Scenario(
            name="a decision at each step",
            pool=MANY_DOMAINS,
            steps=tuple(steps),
            schedule=Schedule(warmup_steps=1, update_steps=1, total_steps=STEPS + 1),
            global_batch=BATCH,
        )
        run_scenario(Subject(spec=spec, values=PARAMS.get(spec.name, {})), scenario)
        assert len(made) == STEPS
        return made

    return run


def owed(plans):
    """After each decision, what each domain's proportions have come to, less what it was given: Float64[STEPS, K]."""
    shares = np.cumsum([BATCH * plan.proportions for plan in plans], axis=0)
    return shares - np.cumsum([plan.counts for plan in plans], axis=0)


@pytest.mark.parametrize("spec", ALWAYS_POSITIVE, ids=lambda spec: spec.name)
def test_no_domain_is_a_sample_ahead_and_none_starves(plans, spec):
    made = plans(spec)
    assert all((plan.proportions > 0).all() for plan in made)
    behind = owed(made)
    assert behind.min() > -1 - 1e-6
    assert behind.max() <= sum(1 / n for n in range(1, 21)) + 1e-6, "the harmonic sum of half the domains"


def test_a_domain_that_is_left_out_is_given_nothing_and_made_up_for(plans):
    made = plans(sound.SPARSE)
    given, wanted = np.array([plan.counts for plan in made]), np.array([plan.proportions for plan in made]) > 0
    assert not given[~wanted].any()
    assert (given.sum(axis=0) > 0).all()
    assert np.abs(owed(made)).max() < 4
