"""A choice that does not repeat itself."""

from __future__ import annotations

import numpy as np
import pytest

from dataflex_core.choosing import top
from dataflex_core.config.section import Spread
from dataflex_core.planning.spread import limit_of, spread_scores

SIZE = 400
SCORES = np.random.default_rng(0).standard_normal(SIZE).astype("f4")
pytestmark = pytest.mark.numeric


def spread_by(spread, times=None, *, scores=SCORES, seed=1, temperature=None):
    times = np.zeros(SIZE, dtype="i8") if times is None else times
    temperature = spread.temperature if temperature is None else temperature
    limits = np.full(len(times), spread.repeats)
    return spread_scores(scores, times, spread, temperature, np.random.default_rng(seed), limits=limits)


def test_without_chance_the_order_stays_whatever_the_scores_unit():
    found = spread_by(Spread(temperature=0), scores=SCORES * 1e-6 + 1)
    assert found.std() == pytest.approx(1, rel=1e-3)
    np.testing.assert_array_equal(
        np.argsort(found, kind="stable"), np.argsort(SCORES * np.float32(1e-6) + 1, kind="stable")
    )


def test_a_choice_is_a_draw_by_the_exponential_of_the_score():
    spread, standard = Spread(temperature=0.5), (SCORES - SCORES.mean()) / SCORES.std()
    first = [int(np.nanargmax(spread_by(spread, seed=seed))) for seed in range(4000)]
    expected = np.exp(standard / 0.5) / np.exp(standard / 0.5).sum()
    best = np.argsort(-expected)[:20]
    share = np.bincount(first, minlength=SIZE)[best].sum() / len(first)
    assert share == pytest.approx(expected[best].sum(), abs=0.04)


def test_each_time_before_costs_a_sample_and_the_last_one_is_the_last():
    times = np.zeros(SIZE, dtype="i8")
    spread, order = Spread(temperature=0, repeats=2, penalty=1.5), np.argsort(-SCORES)
    plain = spread_by(spread)
    times[order[:3]] = [1, 2, 1]
    found = spread_by(spread, times)
    assert found[order[0]] == pytest.approx(plain[order[0]] - 1.5, abs=1e-5)
    assert np.isnan(found[order[1]])
    others = np.setdiff1d(np.arange(SIZE), order[:3])
    np.testing.assert_array_equal(found[others], plain[others])


def test_no_sample_is_chosen_more_often_than_it_may_be():
    spread, times = Spread(repeats=3), np.zeros(SIZE, dtype="i8")
    for seed in range(20):
        chosen = top(np.arange(SIZE), spread_by(spread, times, seed=seed), 40)
        times[chosen] += 1
    assert times.max() == 3
    assert times.sum() == 20 * 40


@pytest.mark.parametrize(
    ("times", "wanted", "limit"),
    [
        ([0, 0, 3, 3], 2, 3),
        ([0, 3, 3, 3], 2, 4),
        ([3, 3, 4, 5], 2, 4),
        ([3, 3, 4, 5], 4, 6),
        ([3, 3], 9, 4),
        ([], 2, 3),
    ],
    ids=["enough are left", "one is short", "the least chosen again", "all are wanted", "fewer than wanted", "none"],
)
def test_a_limit_is_lifted_as_far_as_a_quota_takes(times, wanted, limit):
    assert limit_of(np.array(times, dtype="i8"), wanted, 3) == limit


def test_columns_are_moved_together_and_nan_stays():
    both = np.stack([SCORES, -SCORES], axis=1)
    both[5, 1] = np.nan
    found = spread_by(Spread(temperature=2.0), scores=both)
    assert found.shape == both.shape
    assert np.isnan(found[5]).all()
    rest = np.delete(np.arange(SIZE), 5)
    apart = found[rest] - spread_by(Spread(temperature=0), scores=both)[rest]
    np.testing.assert_allclose(apart[:, 0], apart[:, 1], atol=1e-5)
    assert np.isnan(spread_by(Spread(), scores=np.full(SIZE, np.nan, dtype="f4"))).all()


def test_the_temperature_rises_to_a_multiple():
    spread = Spread(temperature=0.5, rise=3)
    assert [spread.temperature_at(decision, 5) for decision in range(1, 6)] == pytest.approx(
        [0.5, 0.75, 1.0, 1.25, 1.5]
    )
    assert spread.temperature_at(1, 1) == 0.5
