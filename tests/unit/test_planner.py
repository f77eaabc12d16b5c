"""planner.py: what a run decides, without a trainer: quotas over a run, order, notes, state."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from planned import PLAIN, Shares, decided, made

from dataflex_core import Mixture, Need, ScoringSelector, Selection, Selector
from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.planning.answers import mixture_of
from dataflex_core.planning.exhaustion import Exhaustion
from dataflex_core.planning.planner import Rules


class Ordered(Selector):
    """The candidates from the last to the first, in that order, with what it thinks of them."""

    def select(self, request):
        ids = request.candidates[::-1][: request.count]
        return Selection(ids=ids, ordered=True, scores=ids.astype(np.float32), notes={"first": float(ids[0])})


class Columns(ScoringSelector):
    """The multiples of seven first, then by number."""

    def score(self, request, shard):
        return np.stack([shard % 7, shard], axis=1).astype(np.float32)

    def choose(self, request, scores):
        return Selection(ids=request.candidates[np.lexsort((scores[:, 1], scores[:, 0] > 0))[: request.count]])


class Drawn(Selector):
    """A draw, where there was nothing to choose by."""

    def select(self, request):
        return Selection(ids=request.candidates[: request.count], instead="drawn: there was nothing to choose by")


@pytest.mark.parametrize("mixer", [None, Shares([1, 1])], ids=["alone", "with a mixer"])
def test_what_is_no_choice_is_a_shortage_of_all(mixer):
    planner, budget = made([40, 40], batch=4, steps=1, mixer=mixer, selector=Drawn(None))
    (plan,) = decided(planner, budget)
    told = [(short.wanted, short.had, short.action) for short in plan.shortages]
    count = 4 if mixer is None else 2
    assert told == [(count, 0, "drawn: there was nothing to choose by")] * (4 // count)
    with pytest.raises(StrategyFault, match="instead of a choice, which is no line of text"):
        list(decided(*made([9], batch=4, steps=1, selector=NotALine(None))))


class NotALine(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[: request.count], instead="two\nlines")


@pytest.mark.parametrize("selector", [None, Ordered(None)], ids=["mixer alone", "with a selector"])
@pytest.mark.parametrize(
    ("shares", "batch", "steps", "expected"),
    [([9, 1], 4, 10, [36, 4]), ([1] * 5, 4, 40, [32] * 5), (range(1, 31), 20, 93, list(range(4, 124, 4)))],
    ids=["a small share", "more domains than a batch", "thirty domains"],
)
def test_proportions_hold_over_a_run(selector, shares, batch, steps, expected):
    shares = np.array(shares, dtype=float)
    planner, budget = made([400] * len(shares), batch=batch, steps=steps, mixer=Shares(shares), selector=selector)
    seen = np.zeros(len(shares))
    for number, plan in enumerate(decided(planner, budget), start=1):
        seen += plan.counts
        assert (np.abs(seen - shares / shares.sum() * batch * number) < 1).all()
    assert seen.tolist() == expected


def test_the_warm_up_counts_for_itself():
    planner, budget = made([50, 50], batch=3, steps=9, warmup=1, mixer=Shares([1, 1]))
    counts = [plan.counts for plan in decided(planner, budget)]
    fresh, budget = made([50, 50], batch=3, steps=8, mixer=Shares([1, 1]))
    assert counts[1:] == [plan.counts for plan in decided(fresh, budget)]


@pytest.mark.numeric
def test_an_exhausted_domain_is_owed_nothing_more_and_that_is_told():
    rules = Rules(exhaustion=Exhaustion.RENORMALISE)
    planner, budget = made([3, 100], batch=4, steps=20, mixer=Shares([1, 1]), rules=rules)
    plans = list(decided(planner, budget))
    assert [plan.counts for plan in plans[:3]] == [(2, 2), (1, 3), (0, 4)]
    (short,) = plans[1].shortages
    assert (short.domain, short.wanted, short.had, short.action) == (0, 2, 1, "renormalise")
    assert short.dropped == pytest.approx(1.0)
    assert sum(plan.counts[0] for plan in plans) == 3


def test_an_order_is_kept_within_each_domain_and_interleaved_by_quota():
    planner, budget = made([40, 40], batch=8, steps=1, mixer=Shares([3, 1]), selector=Ordered(None))
    (plan,) = decided(planner, budget)
    assert plan.ordered
    assert plan.ids.tolist() == [39, 79, 38, 37, 36, 78, 35, 34] or plan.ids[plan.ids < 40].tolist() == list(
        range(39, 33, -1)
    )
    assert plan.ids[plan.ids >= 40].tolist() == [79, 78]
    assert plan.ids[:2].max() >= 40 or plan.ids[1:4].max() >= 40, "neither domain comes only after the other"


@pytest.mark.numeric
def test_notes_and_scores_of_a_selector_reach_the_plan():
    planner, budget = made([40, 40], batch=8, steps=1, mixer=Shares([3, 1]), selector=Ordered(None))
    (plan,) = decided(planner, budget)
    assert plan.notes == {"selector": {"first": pytest.approx(0.75 * 39 + 0.25 * 79)}}
    ids, scores = plan.scored
    assert ids.tolist() == scores.tolist()
    assert sorted(ids) == sorted(plan.ids)


def test_a_selector_may_score_in_columns():
    planner, budget = made([30], batch=5, steps=1, selector=Columns(None))
    (plan,) = decided(planner, budget)
    assert sorted(plan.ids) == [0, 7, 14, 21, 28]
    assert plan.scored[1].shape == (30, 2)


def test_loss_weights_are_declared():
    answer = Mixture(proportions=np.ones(2), loss_weights=np.array([2.0, 0.5]), notes={"gap": 1.5})
    planner, budget = made([40, 40], batch=8, steps=1, mixer=Shares(answer))
    with pytest.raises(StrategyFault, match=r"mixer mine \(here 1\), step 0: answers with loss weights"):
        list(decided(planner, budget))
    planner, budget = made([40, 40], batch=8, steps=1, mixer=Shares(answer), needs={Need.LOSS_WEIGHTS})
    (plan,) = decided(planner, budget)
    assert plan.loss_weights.tolist() == [2.0, 0.5]
    assert plan.notes == {"mixer": {"gap": 1.5}}


class Restless(Shares):
    """A mixer that goes on working with the arrays that it answered with."""

    def mix(self, request):
        answer = super().mix(request)
        self.answers = [*getattr(self, "answers", []), answer]
        for earlier in self.answers[:-1]:
            earlier.loss_weights[:] = 7
        return Mixture(proportions=np.ones(2), loss_weights=self.answers[-1].loss_weights)


def test_a_plan_in_force_does_not_change_with_what_a_mixer_does_next():
    answers = Mixture(proportions=np.ones(2), loss_weights=np.array([2.0, 0.5]))
    mixer = Restless(answers)
    planner, budget = made([40, 40], batch=8, steps=1, mixer=mixer, needs={Need.LOSS_WEIGHTS})
    (plan,) = decided(planner, budget)
    mixer.answers[0].loss_weights[:] = 9
    assert plan.loss_weights.tolist() == [2.0, 0.5]


class Clumsy(ScoringSelector):
    """Works in place on whatever it is given."""

    def score(self, request, shard):
        answer = shard.astype(np.float32)
        shard -= shard
        request.candidates[:] = 0
        return answer

    def choose(self, request, scores):
        ids = request.candidates[np.argsort(-scores)[: request.count]]
        request.candidates[:] = 0
        scores[:] = 0
        return Selection(ids=ids)


@pytest.mark.parametrize("mixer", [None, Shares([1, 1])], ids=["the pool", "by domain"])
def test_a_strategy_may_work_in_place_on_what_it_is_given(mixer):
    planner, budget = made([40, 40], batch=8, steps=1, mixer=mixer, selector=Clumsy(None))
    (plan,) = decided(planner, budget)
    best = [*range(72, 80)] if mixer is None else [*range(36, 40), *range(76, 80)]
    assert sorted(plan.ids) == best
    ids, scores = plan.scored
    assert ids.tolist() == scores.tolist() == [*range(80)]


class Picky(ScoringSelector):
    """Has no score for samples of the first domain."""

    def score(self, request, shard):
        return np.where(shard < 10, np.nan, shard).astype(np.float32)


def test_a_domain_without_a_usable_sample_is_made_up_for_by_the_others_and_that_is_told():
    planner, budget = made([10, 40, 40], batch=16, steps=1, mixer=Shares([2, 1, 1]), selector=Picky(None))
    (plan,) = decided(planner, budget)
    assert plan.counts == (0, 8, 8)
    assert [(short.domain, short.had, short.action) for short in plan.shortages] == [(0, 0, "given by others")]
    planner, budget = made([10], batch=2, steps=1, selector=Picky(None))
    with pytest.raises(DataError, match="found no usable sample among 10 candidates"):
        list(decided(planner, budget))


def test_plans_that_keep_domains_apart_are_not_taken_up_where_none_are():
    apart, budget = made([40, 40], batch=8, steps=3, mixer=Shares([1, 1]))
    list(decided(apart, budget))
    together, _ = made([40, 40], batch=8, steps=3, selector=Drawn(None))
    assert not together.load(apart.state())
    assert together.plan is None
    again, _ = made([40, 40], batch=8, steps=3, mixer=Shares([1, 1]))
    assert again.load(apart.state())


@pytest.mark.numeric
def test_a_mixer_is_told_the_mean_over_all_steps():
    asked = []

    def shares(request):
        asked.append((request.previous.tolist(), request.mean.tolist(), request.steps, request.global_batch))
        return [request.progress.decision, 1]

    planner, budget = made([60, 20], batch=4, steps=7, warmup=1, update=4, mixer=Shares(shares))
    list(decided(planner, budget))
    size, even = [0.75, 0.25], [0.5, 0.5]
    assert asked[0] == (size, size, 4, 4)
    assert asked[1][0] == even
    assert asked[1][1] == pytest.approx(((np.array(size) + 4 * np.array(even)) / 5).tolist())
    assert asked[1][2:] == (2, 4)


@pytest.mark.parametrize("kinds", ["selector", "mixer", "both"])
@pytest.mark.parametrize("judged", [None, 24])
def test_a_planner_that_goes_on_from_a_state_decides_the_same(kinds, judged):
    parts = {
        "selector": Ordered(None) if kinds != "mixer" else None,
        "mixer": Shares(lambda request: 1 + np.arange(3) * request.progress.decision) if kinds != "selector" else None,
    }
    options = {"batch": 5, "steps": 30, "warmup": 3, "update": 2, "judged": judged, **parts}
    sizes = [30, 25, 9]
    planner, budget = made(sizes, **options)
    whole = [plan.digest for plan in decided(planner, budget)]
    for at in range(len(whole)):
        before, _ = made(sizes, **options)
        list(decided(before, budget, (0, at)))
        after, _ = made(sizes, **options)
        after.load(_through_json(before.state()))
        assert [plan.digest for plan in decided(after, budget, (at, None))] == whole[at:]


def _through_json(state):
    def plain(value):
        if isinstance(value, np.ndarray):
            return {"array": value.tolist(), "dtype": str(value.dtype)}
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    def back(value):
        if isinstance(value, dict) and set(value) == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        return {k: back(v) for k, v in value.items()} if isinstance(value, dict) else value

    return back(json.loads(json.dumps(plain(state))))


def test_signals_that_were_not_declared_stop_the_run():
    class Asks(Selector):
        def select(self, request):
            return request.signals.losses(request.candidates)

    planner, budget = made([30], batch=5, steps=1, selector=Asks(None))
    with pytest.raises(StrategyFault, match=r"selector mine \(here 1\) asks .* does not declare Need.LOSSES"):
        list(decided(planner, budget))


def test_too_few_candidates_of_a_domain_are_an_error_where_that_is_the_policy():
    rules = Rules(exhaustion=Exhaustion.ERROR)
    planner, budget = made([3, 100], batch=8, steps=2, mixer=Shares([1, 1]), selector=Ordered(None), rules=rules)
    with pytest.raises(DataError, match="domain d0's quota is 4 samples, and it has 3 candidates"):
        list(decided(planner, budget))


def test_a_plan_is_frozen():
    planner, budget = made([30], batch=5, steps=1, selector=Ordered(None))
    (plan,) = decided(planner, budget)
    with pytest.raises(AttributeError):
        plan.ids = plan.ids[:1]
    assert replace(plan, judged=0).digest == plan.digest


@pytest.mark.parametrize("update", [3, 5, 100])
def test_an_interval_that_ends_with_the_run_judges_as_many_for_each_that_it_chooses(update):
    planner, budget = made(
        [400], batch=8, steps=5, update=update, judged=4 * 8 * min(update, 5), selector=Ordered(None)
    )
    for plan in decided(planner, budget):
        assert plan.judged == 4 * len(plan.ids)


UNIFORM, RENORMALISE = Rules(warmup_proportions="uniform"), Rules(exhaustion=Exhaustion.RENORMALISE)


@pytest.mark.parametrize(
    ("rules", "mixer"), [(PLAIN, None), (UNIFORM, None), (RENORMALISE, None), (PLAIN, Shares([2, 1, 0.5]))]
)
@pytest.mark.parametrize("judged", [5, 12, 29, 31])
def test_as_many_candidates_as_were_asked_for_are_judged_across_the_ends_of_passes(rules, mixer, judged):
    sizes, times = np.array([17, 11, 4]), np.zeros(32)
    planner, budget = made(sizes.tolist(), batch=5, judged=judged, selector=Ordered(None), mixer=mixer, rules=rules)
    for plan in decided(planner, budget):
        pool = sizes[np.array(plan.counts) > 0].sum() if mixer else sizes.sum()
        assert plan.judged == min(judged, pool)
        times[plan.ids] += 1
    if judged == 5 and mixer is None:
        assert times.max() - times.min() <= 2, "none is passed over"


@pytest.mark.parametrize("figure", [np.float32(0.5), np.float64(0.5), Fraction(1, 2), Decimal("0.5")], ids=repr)
def test_a_mixers_notes_are_numbers_that_a_journal_can_hold(figure):
    found = mixture_of(Mixture(proportions=[1, 1], notes={"a": figure}), frozenset(), 2)
    assert json.dumps(dict(found.notes)) == '{"a": 0.5}'
