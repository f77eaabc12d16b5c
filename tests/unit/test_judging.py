"""A run's decisions by scores that are for the most part predicted, and spread."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planned import Alone, Shares, decided, made

from dataflex_core import ScoringSelector, Selection
from dataflex_core.choosing import top
from dataflex_core.config.section import Spread
from dataflex_core.planning.planner import Rules
from dataflex_core.planning.probe import Probing

pytestmark = pytest.mark.numeric

SIZES = (400, 800)
ROWS = np.random.default_rng(0).standard_normal((sum(SIZES), 32))
PLANTED = ROWS @ np.random.default_rng(1).standard_normal((32, 2))
SOME = Probing(ratio=0.25, floor=0.3)


class Planted(ScoringSelector):
    """Third parties' selectors know nothing of it: this one counts what it is asked."""

    columns: int | None = None

    def setup(self, context):
        self.asked, self.told = [], []

    def score(self, request, shard):
        self.asked.append(np.sort(shard))
        table = PLANTED.astype("f4")[shard]
        return table[:, 0] if self.columns is None else table[:, : self.columns]

    def choose(self, request, scores):
        self.told.append(request.exact)
        assert request.exact is None or request.exact.shape == request.candidates.shape
        best = scores if scores.ndim == 1 else scores.max(axis=1)
        return Selection(ids=top(request.candidates, best, request.count))


class Twofold(Planted):
    columns = 2


def planner(rules, *, selector=None, mixer=None, sizes=SIZES, **spec):
    selector = Planted(None) if selector is None else selector
    selector.setup(None)
    run = {"batch": 20, "steps": 20, "update": 4, "rules": rules, "features": ROWS.__getitem__}
    return *made(sizes, selector=selector, mixer=mixer, **run, **spec), selector


@pytest.mark.parametrize("selector", [Planted, Twofold])
@pytest.mark.parametrize("mixer", [None, Shares([1, 1])], ids=["the pool", "by domain"])
def test_a_quarter_of_what_is_chosen_is_scored_and_the_choice_is_nearly_that_of_all(selector, mixer):
    made_here, budget, asked = planner(Rules(probing=SOME), selector=selector(None), mixer=mixer)
    plans = list(decided(made_here, budget))
    everything, budget, _ = planner(Rules(), selector=selector(None), mixer=mixer)
    for plan, best in list(zip(plans, decided(everything, budget), strict=True))[1:]:
        assert plan.correlation > 0.7
        assert plan.exact.sum() < 200
        assert plan.judged == sum(SIZES)
        assert len(np.intersect1d(plan.ids, best.ids)) > 0.6 * len(best.ids)
        assert best.exact is None
    assert all(told is not None for told in asked.told)
    assert len(np.unique(np.concatenate(asked.asked))) < sum(SIZES)


def test_a_selector_that_may_not_be_predicted_is_not():
    made_here, budget, asked = planner(Rules(probing=SOME), predictable=False)
    for plan in decided(made_here, budget):
        assert plan.exact is None
    assert all(len(ids) == sum(SIZES) for ids in asked.asked)


def test_a_spread_choice_repeats_no_sample_more_often_than_it_may():
    made_here, budget, _ = planner(Rules(spread=Spread(repeats=2)))
    chosen_ids = np.concatenate([plan.ids for plan in decided(made_here, budget)])
    assert np.bincount(chosen_ids).max() == 2
    bare, budget, _ = planner(Rules())
    same = np.concatenate([plan.ids for plan in decided(bare, budget)])
    assert np.bincount(same).max() == 5
    assert len(np.unique(chosen_ids)) > 2 * len(np.unique(same))


@pytest.mark.parametrize(
    ("sizes", "mixer", "most"),
    [((400, 800), None, 1), ((90, 90), None, 3), ((90, 800), Shares([9, 1]), 5)],
    ids=["enough", "a small pool", "a small domain with a large quota"],
)
def test_a_pool_that_is_used_up_is_gone_through_once_more_and_said_so(sizes, mixer, most):
    made_here, budget, _ = planner(Rules(spread=Spread(repeats=1)), mixer=mixer, sizes=sizes)
    plans = list(decided(made_here, budget))
    assert not any(plan.shortages for plan in plans)
    assert np.bincount(np.concatenate([plan.ids for plan in plans])).max() == most
    said = [remark for plan in plans for remark in plan.remarks]
    assert len(said) == most - 1, "once each time that the limit is lifted"
    assert all("spread.repeats: too few candidates" in remark for remark in said)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_goes_on_decides_as_one_that_was_not_stopped(stop):
    rules = Rules(probing=SOME, spread=Spread())
    whole = [plan.digest for plan in decided(*planner(rules)[:2])]
    first, budget, _ = planner(rules)
    before = [plan.digest for plan in decided(first, budget, (stop,))]
    state = first.state()
    second, budget, _ = planner(rules)
    second.load(state)
    assert before + [plan.digest for plan in decided(second, budget, (stop, None))] == whole
    assert state["judge"]["times"].sum() > 0
    json.dumps({key: value.tolist() for key, value in state["judge"]["memory"].items()})


class Opposite(Planted):
    def score(self, request, shard):
        return -super().score(request, shard)


def test_another_selector_does_not_predict_by_what_the_one_before_it_scored():
    rules = Rules(probing=SOME)
    first, budget, _ = planner(rules)
    list(decided(first, budget, (3,)))
    state = first.state()
    other = {"selector": Opposite(None), "params": "its own"}
    found = []
    for known in (state, {**state, "judge": None}):
        second, budget, _ = planner(rules, **other)
        second.load(known)
        found.append([plan.digest for plan in decided(second, budget, (3, None))])
    assert found[0] == found[1]
    same, budget, _ = planner(rules)
    same.load(state)
    assert len(same.state()["judge"]["memory"]["ids"]) > 0


def test_a_sample_that_is_chosen_ever_again_is_counted_on():
    from dataflex_core.planning.judging import Judge

    judge = Judge(Planted(None), 4, spread=Spread())
    judge.load({**judge.state(), "chosen": np.array([1]), "times": np.array([65535])})
    judge.chose(np.array([1, 2]))
    assert judge.state()["times"].tolist() == [65536, 1]


def test_how_samples_are_dealt_to_ranks_makes_no_difference(monkeypatch):
    rules = Rules(probing=SOME, spread=Spread())
    alone = [plan.digest for plan in decided(*planner(rules)[:2])]
    monkeypatch.setattr(Alone, "shard", lambda self, ids: ids)
    assert [plan.digest for plan in decided(*planner(rules)[:2])] == alone
