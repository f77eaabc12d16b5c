"""units.py: shares of target tokens as quotas of samples, for mixers that need not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planned import Shares, decided, made

from dataflex_core.domains import Domain
from dataflex_core.errors import DataError
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.units import mean_tokens_of, sample_shares, token_shares
from dataflex_core.prepared import MIXER

pytestmark = pytest.mark.numeric


def test_a_domain_of_long_samples_is_given_fewer_of_them():
    np.testing.assert_allclose(sample_shares([0.5, 0.3, 0.2], [10, 20, 5]), [0.476190, 0.142857, 0.380952], atol=1e-6)
    np.testing.assert_allclose(sample_shares([0.0, 1.0], [10, 20]), [0, 1])


@given(
    st.lists(st.tuples(st.just(0.0) | st.floats(1e-6, 1), st.floats(0.1, 1e4)), min_size=1, max_size=8).filter(
        lambda pairs: sum(share for share, _ in pairs) > 1e-3
    )
)
def test_shares_of_samples_come_to_the_shares_of_tokens_that_were_wanted(pairs):
    wanted, means = np.array(pairs).T
    shares = sample_shares(wanted, means)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(token_shares(shares, means), wanted / wanted.sum(), rtol=1e-9)
    np.testing.assert_allclose(sample_shares(wanted, np.full(len(means), 7.0)), wanted / wanted.sum(), rtol=1e-9)


DOMAINS = (Domain(name="a", start=0, size=2), Domain(name="b", start=2, size=0), Domain(name="c", start=2, size=3))


def test_the_mean_of_a_domain_is_that_of_its_samples_and_of_an_empty_one_the_pools():
    assert mean_tokens_of(DOMAINS, np.array([4, 6, 1, 0, 2])) == (5.0, 2.6, 1.0)
    with pytest.raises(DataError, match="domain c has no target token"):
        mean_tokens_of(DOMAINS, np.array([4, 6, 0, 0, 0]))


MEANS = (40.0, 10.0)


def planner_of(mixer, *, rules=None, means=MEANS, **options):
    """Over two domains of 40 and 60 samples, of so many target tokens on average."""
    planner, budget = made([40, 60], batch=5, mixer=mixer, rules=rules or Rules(), **options)
    budget = replace(budget, mean_tokens=means)
    known = planner._chosen
    return Planner(budget, rules or Rules(), seed=3, chosen=known, strategies={MIXER: mixer}), budget


def test_quotas_hold_to_shares_of_tokens_over_a_run():
    planner, budget = planner_of(Shares([1, 1]))
    counts = np.sum([plan.counts for plan in decided(planner, budget)], axis=0)
    assert counts.tolist() == [40, 160], "a fifth of the samples has half of the tokens"


def test_a_mixer_is_told_shares_in_its_own_unit_and_is_journalled_in_it():
    told = []

    def asked(request):
        told.append((request.previous.tolist(), request.mean.tolist()))
        return [0.75, 0.25]

    planner, budget = planner_of(Shares(asked), warmup=1, steps=3, rules=Rules(warmup_proportions="uniform"))
    plans = list(decided(planner, budget))
    assert [plan.proportions.tolist() for plan in plans] == [[0.5, 0.5], [0.75, 0.25], [0.75, 0.25]]
    assert told == [([0.5, 0.5], [0.5, 0.5]), ([0.75, 0.25], [0.625, 0.375])]
    assert plans[0].counts == (1, 4)


def test_a_warm_up_by_size_reads_the_pool_as_it_is():
    planner, budget = planner_of(Shares([1, 1]), warmup=4, steps=5)
    warmup, _ = decided(planner, budget)
    assert warmup.counts == (8, 12)
    np.testing.assert_allclose(warmup.proportions, [1600 / 2200, 600 / 2200])
