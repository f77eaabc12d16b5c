"""apportion.py: quotas that carry their remainder stay close to what each domain is owed, whatever comes."""

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex_core.planning.apportion import apportioned

ROUNDING = 1e-8  # proportions are taken to 12 digits; no run here draws more than 10^4 samples


def harmonic(n):
    return sum(1 / i for i in range(1, n + 1))


@dataclass
class Ledger:
    """Intervals one after the other, with what every domain was given and owed counted apart from the carry."""

    domains: int
    carry: np.ndarray = field(init=False)
    given: np.ndarray = field(init=False)
    owed: np.ndarray = field(init=False)

    def __post_init__(self):
        self.carry, self.given, self.owed = np.zeros((3, self.domains))

    def interval(self, p, count):
        found = apportioned(p, count, self.carry)
        assert found.quotas.sum() == count
        assert (found.quotas >= 0).all()
        self.given += found.quotas
        self.owed += np.asarray(p) * count
        self.carry = found.carry
        assert np.allclose(self.carry, self.owed - self.given, rtol=0, atol=ROUNDING)
        assert not found.dropped.any()
        return found.quotas


def shares(numbers, *, least):
    weights = [numbers.choice([numbers.random() ** 6, numbers.random(), 1.0]) + least for _ in range(numbers.domains)]
    return np.array(weights) / sum(weights)


@st.composite
def seeded(draw, most=40):
    """A seeded generator that knows a number of domains; hypothesis' own would take a draw for every interval."""

    class Numbers:
        domains = draw(st.integers(1, most))
        generator = np.random.default_rng(draw(st.integers(0, 2**32)))

        def __getattr__(self, name):
            return getattr(self.generator, name)

    return Numbers()


# ------------------------------------------------------------------------------------------------------ one interval


@pytest.mark.parametrize(
    ("p", "count", "capacity", "found"),
    [
        ([0.5, 0.3, 0.2], 7, None, [4, 2, 1]),
        ([0.5, 0.5], 3, None, [2, 1]),
        ([0.2, 0.7, 0.1], 2, None, [1, 1, 0]),
        ([1 / 3, 1 / 3, 1 / 3], 5, None, [2, 2, 1]),
        ([0.1 + 0.2, 0.3, 0.4], 2, None, [1, 0, 1]),
        ([0.3, 0.1 + 0.2, 0.4], 2, None, [1, 0, 1]),
        ([0.1] * 10, 1000, None, [100] * 10),
        ([1.0, 0.0], 5, None, [5, 0]),
        ([0.5, 0.3, 0.2], 0, None, [0, 0, 0]),
        ([0.5, 0.3, 0.2], 10, [2, 10, 10], [2, 5, 3]),
        ([1.0, 0.0, 0.0], 6, [2, 3, 1], [2, 3, 1]),
        ([1.0, 0.0, 0.0], 6, [2, 30, 10], [2, 3, 1]),
        ([0.5, 0.5], 10, [3, 4], [3, 4]),
        ([0.5, 0.5], 10, [0, 0], [0, 0]),
        ([0.5, 0.5], 10**9, None, [5 * 10**8] * 2),
    ],
)
def test_one_interval_is_the_largest_remainder(p, count, capacity, found):
    one = apportioned(p, count, np.zeros(len(p)), capacity)
    assert one.quotas.tolist() == found
    assert (one.quotas.dtype, one.carry.dtype, one.dropped.dtype) == (np.int64, np.float64, np.float64)


@pytest.mark.numeric
def test_earliest_deadline_decides_where_the_largest_remainder_would_be_late():
    # The large domains are owed 25.6, the small ones 0.64 each: by remainder fourteen small ones would come first, and
    # both large ones be owed a whole sample at the next.
    ledger = Ledger(22)
    p = [0.4, 0.4] + [0.01] * 20
    assert ledger.interval(p, 64)[:2].tolist() != [25, 25]
    for _ in range(200):
        ledger.interval(p, 1)
        assert np.abs(ledger.carry).max() < 1


# ---------------------------------------------------------------------------------------------- constant proportions


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("p", "count", "intervals", "least", "most"),
    [
        ([0.9, 0.1], 4, 10, [36, 4], [36, 4]),
        ([0.9, 0.1], 4, 12, [43, 4], [44, 5]),
        ([0.2] * 5, 4, 40, [32] * 5, [32] * 5),
        ([0.999, 0.001], 1, 3000, [2997, 3], [2997, 3]),
    ],
)
def test_no_small_share_starves(p, count, intervals, least, most):
    ledger = Ledger(len(p))
    for _ in range(intervals):
        ledger.interval(p, count)
    assert (ledger.given >= least).all()
    assert (ledger.given <= most).all()


@given(numbers=seeded(), longest=st.sampled_from([1, 3, 50]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_constant_proportions_keep_every_domain_within_one_sample(numbers, longest):
    p, ledger = shares(numbers, least=0.0), Ledger(numbers.domains)
    for _ in range(200):
        ledger.interval(p, int(numbers.integers(1, longest + 1)))
        assert np.abs(ledger.given - ledger.owed).max() < 1 + ROUNDING


# ---------------------------------------------------------------------------------------------- adversaries


def _most_behind(numbers, carry, quotas):
    return carry >= np.sort(carry)[-numbers.integers(1, carry.size + 1)]


def _most_ahead(numbers, carry, quotas):
    return carry <= np.sort(carry)[numbers.integers(0, carry.size)]


def _not_served(numbers, carry, quotas):
    # The chip game's own adversary: all on those that were never served, one fewer each time.
    numbers.alive = getattr(numbers, "alive", np.ones(carry.size, dtype=bool)) & (quotas == 0)
    if not numbers.alive.any():
        numbers.alive = np.ones(carry.size, dtype=bool)
    return numbers.alive


def _nearly_due(numbers, carry, quotas):
    return np.where(carry > 0, 1 - np.minimum(carry, 0.999), 0.0)


def _random(numbers, carry, quotas):
    return numbers.dirichlet(np.full(carry.size, 0.2))


ADVERSARIES = [_most_behind, _most_ahead, _not_served, _nearly_due, _random]


def against(adversary, numbers, least):
    """Forty intervals against ``adversary``: proportions, carry before, quotas and carry after each."""
    ledger, quotas = Ledger(numbers.domains), np.zeros(numbers.domains)
    for _ in range(40):
        weights = np.asarray(adversary(numbers, ledger.carry, quotas), dtype=float) + least
        p = weights / weights.sum() if weights.sum() > 0 else np.full(weights.size, 1 / weights.size)
        before = ledger.carry
        quotas = ledger.interval(p, int(numbers.choice([1, 1, 1, 2, 7])))
        yield p, before, quotas, ledger.carry


@pytest.mark.parametrize("adversary", ADVERSARIES)
@given(numbers=seeded())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_against_an_adversary_none_is_one_ahead_nor_behind_by_more_than_half_a_harmonic_sum(adversary, numbers):
    for _, _, _, carry in against(adversary, numbers, least=1e-6):
        assert carry.min() > -1
        assert carry.max() <= harmonic(-(-numbers.domains // 2)) + ROUNDING


@pytest.mark.numeric
@pytest.mark.parametrize("adversary", ADVERSARIES)
@given(numbers=seeded())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_domain_of_proportion_zero_waits_and_keeps_its_carry(adversary, numbers):
    for p, before, quotas, carry in against(adversary, numbers, least=0.0):
        waiting = p < 1e-13
        assert not quotas[waiting].any()
        assert carry[waiting] == pytest.approx(before[waiting], abs=1e-10)
        allowed = 1 + max(0.0, before[waiting].sum()) / (~waiting).sum()
        assert (carry[quotas > 0] > -allowed - ROUNDING).all()


# ---------------------------------------------------------------------------------------------------- capacities


@given(numbers=seeded(most=12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_capacities_are_kept_and_filled_and_full_domains_lose_their_carry(numbers):
    carry, unread = np.zeros(numbers.domains), numbers.integers(0, 60, numbers.domains)
    while True:
        p = shares(numbers, least=0.0) * (numbers.random(numbers.domains) < 0.8)
        p = p / p.sum() if p.sum() > 0 else np.full(p.size, 1 / p.size)
        count = int(numbers.integers(1, 20))
        found = apportioned(p, count, carry, unread)
        assert found.quotas.sum() == min(count, unread.sum())
        assert ((found.quotas >= 0) & (found.quotas <= unread)).all()
        assert abs(found.carry.sum()) < ROUNDING
        wanted = p > 1e-12
        assert not found.quotas[~wanted].any() or (found.quotas[wanted] == unread[wanted]).all()
        full = (found.dropped != 0) | (unread == 0)
        assert (found.quotas[full] == unread[full]).all()
        assert (found.carry[full] == 0).all()
        if unread.sum() < count:
            break
        carry, unread = found.carry, unread - found.quotas


@pytest.mark.numeric
def test_what_a_full_domain_was_owed_is_reported_and_nobody_else_pays_for_it():
    first = apportioned([0.5, 0.3, 0.2], 10, [0, 0, 0], [2, 10, 10])
    assert first.quotas.tolist() == [2, 5, 3]
    assert first.dropped == pytest.approx([3, 0, 0])
    assert first.carry == pytest.approx([0, -0.2, 0.2])
    # Two were ahead by what the first, which has no more, was owed: they start even.
    second = apportioned([0.5, 0.25, 0.25], 4, [0.8, -0.6, -0.2], [0, 9, 9])
    assert second.quotas.tolist() == [0, 2, 2]
    assert second.dropped == pytest.approx([2.8, 0, 0])
    assert second.carry == pytest.approx([0, 0, 0])


# ---------------------------------------------------------------------------------------------- the same everywhere


@given(numbers=seeded(most=12))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_equal_shares_are_served_in_turn_by_their_index(numbers):
    weights = numbers.integers(1, 4, numbers.domains)
    weights[-1] += 100 - weights.sum()
    p, ledger = numbers.permutation(weights) / 100, Ledger(numbers.domains)
    for _ in range(50):
        ledger.interval(p, int(numbers.integers(1, 9)))
        for share in np.unique(p):
            equal = ledger.given[p == share]
            assert sorted(equal, reverse=True) == equal.tolist()
            assert equal[0] - equal[-1] <= 1


@given(numbers=seeded(most=12))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_how_a_proportion_was_rounded_changes_nothing(numbers):
    exact = numbers.multinomial(1000, np.full(numbers.domains, 1 / numbers.domains)) / 1000
    noisy = exact * (1 + numbers.choice([-1, 0, 1], numbers.domains) * 4e-16)
    one = other = np.zeros(numbers.domains)
    for _ in range(30):
        count = int(numbers.integers(1, 9))
        first, second = apportioned(exact, count, one), apportioned(noisy, count, other)
        assert first.quotas.tolist() == second.quotas.tolist()
        one, other = first.carry, second.carry
    assert one.tolist() == other.tolist()


def test_a_million_samples_of_a_hundred_domains_take_no_time():
    p = np.random.default_rng(0).dirichlet(np.ones(100))
    took = []
    for _ in range(5):
        started = time.thread_time()  # whatever else the machine does
        found = apportioned(p, 10**6, np.zeros(100))
        took.append(time.thread_time() - started)
    assert min(took) < 0.2
    assert np.abs(found.carry).max() < 1
