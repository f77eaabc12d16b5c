"""Most scores of a decision, predicted from a few."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from dataflex_core.planning.predict import Memory, Regression, as_table, brought_to, rank_correlation, standardised
from dataflex_core.planning.probe import SMALLEST, Deck, Probing, holds, judge

pytestmark = pytest.mark.numeric

SIZE, WIDTH = 1800, 64
HOW = Probing(ratio=0.25, floor=0.2)


def unit_rows(seed=0):
    rows = np.random.default_rng(seed).standard_normal((SIZE, WIDTH))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ROWS = unit_rows()
PLANTED = (ROWS @ np.random.default_rng(1).standard_normal((WIDTH, 2))).astype("f4")
NOISE = np.random.default_rng(2).standard_normal((SIZE, 2)).astype("f4")


class Asked:
    """Exact scores, and which samples they were asked of."""

    def __init__(self, table):
        self.table, self.calls = table, []

    def __call__(self, ids):
        assert (np.diff(ids) > 0).all()
        self.calls.append(ids)
        return self.table[ids]

    @property
    def ids(self):
        return np.concatenate(self.calls)


def decisions(table, count=4, *, groups=None, wanted=None, how=HOW, **more):
    groups = [np.arange(SIZE)] if groups is None else groups
    wanted = np.array([400]) if wanted is None else wanted
    memory = Memory()
    for decision in range(1, count + 1):
        asked = Asked(table)
        rng = np.random.default_rng([7, decision])
        found = judge(groups, wanted, how, exact=asked, features=ROWS.__getitem__, memory=memory, rng=rng, **more)
        memory = Memory.of(found.memory.state())
        yield found, asked


@pytest.mark.parametrize("columns", [PLANTED[:, 0], PLANTED])
def test_scores_that_are_linear_in_the_features_are_predicted(columns):
    *_, (found, asked) = decisions(columns)
    assert found.correlation > 0.9
    assert len(asked.ids) == 100
    assert found.scores.shape == columns.shape
    rest = ~found.exact
    for guess, score in zip(as_table(found.scores[rest]).T, as_table(columns[rest]).T, strict=True):
        assert spearmanr(guess, score).statistic > 0.9


@pytest.mark.parametrize("columns", [NOISE[:, 0], NOISE, np.ones(SIZE, dtype="f4")])
def test_scores_that_have_nothing_to_do_with_them_are_all_taken_each_once(columns):
    for found, asked in decisions(columns):
        assert found.exact.all()
        np.testing.assert_array_equal(found.scores, columns)
        assert len(np.unique(asked.ids)) == len(asked.ids) == SIZE


@pytest.mark.parametrize("chosen", [400, 200])
def test_a_probe_that_is_all_that_is_paid_for_ends_there_however_short_the_interval(chosen):
    *_, (found, asked) = decisions(NOISE, how=Probing(ratio=0.25, floor=0.2, paid=True), wanted=np.array([chosen]))
    assert found.exact.sum() == len(asked.ids) == chosen // 4
    assert np.isfinite(found.scores).all()


def test_what_was_scored_keeps_its_score_and_what_was_not_gets_the_spread_of_what_was():
    for found, asked in decisions(PLANTED[:, 0] * 5 + 3):
        np.testing.assert_array_equal(np.sort(asked.ids), np.flatnonzero(found.exact))
        np.testing.assert_array_equal(found.scores[found.exact], (PLANTED[:, 0] * 5 + 3)[found.exact])
        assert found.scores[~found.exact].mean() == pytest.approx(found.scores[found.exact].mean(), rel=1e-3)
        assert found.scores[~found.exact].std() == pytest.approx(found.scores[found.exact].std(), rel=1e-3)


def test_the_first_probe_is_scored_in_halves_and_later_ones_at_once():
    probes = [[len(part) for part in asked.calls] for _, asked in decisions(PLANTED[:, 0])]
    assert probes[0][:2] == [50, 50]
    assert probes[-1] == [100]


def test_a_probe_is_of_each_group_as_much_is_wanted_and_of_few_enough_to_say_something():
    groups, wanted = [np.arange(600), np.arange(600, SIZE)], np.array([30, 90])
    *_, (_, asked) = decisions(PLANTED[:, 0], groups=groups, wanted=wanted)
    assert len(asked.calls[0]) == SMALLEST
    assert np.sum(asked.calls[0] < 600) == SMALLEST // 4


def test_samples_without_a_score_teach_nothing_and_have_none():
    columns = PLANTED[:, 0].copy()
    columns[::7] = np.nan
    *_, (found, _) = decisions(columns)
    assert found.correlation > 0.9
    assert np.isfinite(found.memory.scores).all()
    assert np.isnan(found.scores[found.exact][np.isnan(columns[found.exact])]).all()
    for paid in (False, True):
        how = Probing(ratio=0.25, floor=0.2, paid=paid)
        for found, _ in decisions(np.full(SIZE, np.nan, dtype="f4"), how=how):
            assert found.exact.all()
            assert len(found.memory) == 0


def test_a_probe_that_has_no_score_is_followed_by_another_until_there_is_one():
    columns = np.full(SIZE, np.nan, dtype="f4")
    columns[1500:] = PLANTED[1500:, 0]
    how = Probing(ratio=0.25, floor=0.2, paid=True)
    groups, wanted = [np.arange(1500), np.arange(1500, SIZE)], np.array([399, 1])
    found, asked = next(decisions(columns, groups=groups, wanted=wanted, how=how))
    assert len(found.memory)
    assert 100 < len(asked.ids) < SIZE


def test_samples_that_cannot_have_a_score_are_neither_asked_about_nor_predicted():
    for columns in (PLANTED[:, 0], PLANTED):
        for found, asked in decisions(columns, able=lambda ids: ids % 3 > 0):
            assert (asked.ids % 3 > 0).all()
            without = np.isnan(as_table(found.scores)).all(axis=1)
            np.testing.assert_array_equal(without, np.arange(SIZE) % 3 == 0)
            assert len(asked.ids) == 100
    found, asked = next(decisions(PLANTED[:, 0], able=lambda ids: ids < 0))
    assert (asked.calls, np.isnan(found.scores).all()) == ([], True)


def test_a_correlation_is_of_the_samples_that_have_a_score():
    # Of noise with few scores it is high by chance now and then, and is believed no more often than with many.
    rng, believed = np.random.default_rng(0), 0
    for _ in range(60):
        columns = np.where(rng.random(SIZE) < 0.8, np.nan, rng.standard_normal(SIZE)).astype("f4")
        found, _ = next(decisions(columns, how=Probing(ratio=0.16, floor=0.2)))
        believed += not found.exact.all()
    assert believed <= 12


@pytest.mark.parametrize("column", [np.full(3000, 0.1), np.full(3000, 1e7), np.zeros(3000), 5 + 1e-8 * ROWS[:1800, 0]])
def test_what_does_not_vary_but_for_rounding_is_zero(column):
    np.testing.assert_allclose(standardised(column.astype("f4")[:, None]), 0, atol=1e-12)


def test_columns_far_from_zero_are_standardised_like_others():
    table = np.random.default_rng(0).standard_normal((10**5, 2)).astype("f4") + np.float32(1000)
    found = standardised(table)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-9)


def test_few_candidates_are_all_scored():
    few = [np.array([3, 5, 8])]
    for found, _ in decisions(PLANTED[:, 0], groups=few, wanted=np.array([2])):
        assert found.exact.all()
        np.testing.assert_array_equal(found.scores, PLANTED[few[0], 0])


def test_older_scores_fade_and_are_forgotten():
    memory = Memory()
    for _ in range(30):
        memory = memory.with_scores(np.arange(10), PLANTED[:10, 0])
    assert memory.next == 31
    assert memory.decisions.min() > 15
    turned = Memory().with_scores(np.arange(500), PLANTED[:500, 0])
    for _ in range(4):
        turned = turned.with_scores(np.arange(500), -PLANTED[:500, 0])
    found = Regression(turned, ROWS.__getitem__, turned.next)(np.arange(SIZE))
    assert spearmanr(found[:, 0], -PLANTED[:, 0]).statistic > 0.9


def test_memory_is_bounded_and_of_one_number_of_columns():
    memory = Memory().with_scores(np.arange(10**5), np.random.default_rng(0).random(10**5, dtype="f4"))
    assert len(memory) < 10**4
    assert memory.with_scores(np.arange(4), NOISE[:4]).scores.shape == (4, 2)


def test_what_is_remembered_of_a_large_probe_is_of_every_part_of_the_pool_and_of_older_ones_what_fits():
    memory = Memory()
    for first, count in ((0, 3000), (3000, 4000), (7000, 90_000)):
        ids = np.arange(first, first + count)
        memory = memory.with_scores(ids, np.random.default_rng(first).random(count, dtype="f4"))
    assert set(memory.decisions.tolist()) == {3}
    for quarter in np.array_split(np.arange(7000, 97_000), 4):
        assert np.isin(memory.ids, quarter).mean() == pytest.approx(0.25, abs=0.05)
    few = Memory().with_scores(np.arange(7000), np.random.default_rng(0).random(7000, dtype="f4"))
    both = few.with_scores(np.arange(7000, 9000), np.random.default_rng(1).random(2000, dtype="f4"))
    assert (both.decisions == 2).sum() == 2000
    assert np.isin(both.ids, np.arange(3500)).sum() == pytest.approx((len(both) - 2000) / 2, rel=0.1)


def test_what_was_learnt_is_as_old_as_decisions_were_made_whatever_they_are_called():
    # A run that goes on with longer intervals numbers its decisions from a smaller number on.
    old = Memory(ids=np.arange(9), scores=np.ones((9, 1), dtype="f4"), decisions=np.full(9, 100))
    memory = old.with_scores(np.arange(9, 12), PLANTED[:3, 0])
    assert memory.decisions.tolist() == [100] * 9 + [101] * 3


def test_rank_correlation_is_the_least_of_the_columns():
    a, b = np.arange(10.0, dtype="f4"), np.arange(10.0, dtype="f4")
    both = np.stack([a, b[::-1]], axis=1)
    assert rank_correlation(both, both) == pytest.approx(1)
    assert rank_correlation(np.stack([a, b], axis=1), both) == pytest.approx(-1)
    assert np.isnan(rank_correlation(a[:, None], np.ones((10, 1), dtype="f4")))
    assert np.isnan(rank_correlation(a[:2, None], a[:2, None]))


def test_a_correlation_holds_beyond_its_error():
    assert holds(0.5, 101, 0.4)
    assert not holds(0.45, 101, 0.4)
    assert not holds(0.5, 2, 0.0)
    assert not holds(float("nan"), 101, 0.0)


def test_a_deck_deals_each_candidate_once():
    deck = Deck([np.arange(10), np.arange(10, 40)], np.array([1, 3]), np.random.default_rng(0))
    dealt = [deck.draw(7) for _ in range(6)]
    np.testing.assert_array_equal(np.sort(np.concatenate(dealt)), np.arange(40))
    assert [len(part) for part in dealt] == [7, 7, 7, 7, 7, 5]


def test_predictions_that_do_not_vary_get_the_mean():
    found = brought_to(np.ones((4, 1), dtype="f4"), np.array([[1.0], [3.0], [np.nan]], dtype="f4"))
    np.testing.assert_array_equal(found, np.full((4, 1), 2.0))


def test_a_prediction_does_not_depend_on_what_else_is_predicted():
    memory = Memory().with_scores(np.arange(300), PLANTED[:300])
    regression = Regression(memory, ROWS.astype("f2").__getitem__, 1)
    whole = regression(np.arange(SIZE))
    for count in (1, 7, 512):
        parts = [regression(np.arange(start, min(start + count, SIZE))) for start in range(0, SIZE, count)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
