"""LESS at a lower cost: what its filter keeps, and what its parameters cost."""

from __future__ import annotations

import numpy as np
import pytest

from dataflex_core import CostRequest, Need, Progress, SelectionRequest
from dataflex_core.config.params import examine
from dataflex_core.rng import derive
from dataflex_core.testing.fake_signals import FakeSignals
from dataflex_core.testing.pools import EVERYDAY
from dataflex_core.testing.ranks import Meeting
from dataflex_strategies.selectors.less import LessParams, LessSelector, cost_of, needs_for
from dataflex_strategies.selectors.prefilter import kept

pytestmark = pytest.mark.numeric

EVERY = np.arange(len(EVERYDAY))
SIGNALS = FakeSignals(samples=EVERYDAY.samples, subtasks=EVERYDAY.targets, step=3, seed=7, rank=0, meeting=Meeting(1))


def request(count=5, candidates=EVERY):
    progress = Progress(step=3, total_steps=9, decision=1, decisions=3, epoch=0.0, learning_rate=1e-3, seed=0)
    return SelectionRequest(
        progress=progress,
        domains=EVERYDAY.domains,
        candidates=candidates,
        count=count,
        rng=derive(0, "test"),
        signals=SIGNALS,
    )


def test_the_filter_keeps_the_highest_losses():
    found, losses = kept(request(), EVERY, by="losses", share=0.25, by_domain=False), SIGNALS.losses(EVERY)
    assert len(found) == np.ceil(0.25 * len(EVERY))
    assert losses[found].min() >= np.delete(losses, found).max()


def test_the_filter_keeps_the_nearest_to_a_subtask():
    found = kept(request(), EVERY, by="embeddings", share=0.5, by_domain=False)
    rows = SIGNALS.embeddings(EVERY)
    held = [SIGNALS.target(name) for name in SIGNALS.targets]
    centres = np.array([each.embeddings(np.arange(len(each))).mean(axis=0) for each in held])
    cosines = rows @ centres.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(centres, axis=1)
    best = cosines.max(axis=1)
    assert best[found].min() >= np.delete(best, found).max()


def test_the_filter_leaves_each_domain_its_share_and_a_choice_enough():
    found = kept(request(), EVERY, by="losses", share=0.5, by_domain=True)
    for domain in EVERYDAY.domains:
        inside = (found >= domain.start) & (found < domain.start + domain.size)
        assert np.count_nonzero(inside) == np.ceil(0.5 * domain.size)
    part = EVERY[:25]
    assert len(kept(request(1, part), part, by="losses", share=0.28, by_domain=False)) == 7, "7.000000000000001"
    assert len(kept(request(count=20), EVERY, by="losses", share=0.01, by_domain=False)) == 20
    probe = request(count=16, candidates=EVERY[:16])
    assert len(kept(probe, probe.candidates, by="losses", share=0.5, by_domain=False)) == 8


@pytest.mark.parametrize("prefilter", ["losses", "embeddings"])
def test_what_the_filter_lets_through_has_its_exact_score_and_the_rest_none(prefilter):
    shard = EVERY[::-1]
    scores = LessSelector(LessParams(prefilter=prefilter)).score(request(), shard)
    through = np.isfinite(scores)
    assert np.count_nonzero(through) == len(EVERY) / 2
    np.testing.assert_array_equal(scores[through], SIGNALS.influence(shard)[through])


THIRD = 1 / 3
COSTS = {
    "as it was": ({}, {}, 1.0, 1.0),
    "a quarter of the layers": ({"layers": 0.25}, {}, THIRD + 2 / 3 * 0.25, THIRD + 2 / 3 * 0.25),
    "a share is rounded up": ({"layers": 0.25}, {"layers": 6}, THIRD + 2 / 3 * 2 / 6, THIRD + 2 / 3 * 2 / 6),
    "the last of twelve": ({"layers": "last-3"}, {"layers": 12}, THIRD + 2 / 3 / 4, THIRD + 2 / 3 / 4),
    "the last of nobody knows": ({"layers": "last-3"}, {}, 1.0, 1.0),
    "kept": ({"refresh_target": 3}, {"decision": 3}, 1.0, 0.0),
    "taken anew": ({"refresh_target": 3}, {"decision": 4}, 1.0, 1.0),
    "by losses": ({"prefilter": "losses"}, {}, THIRD + 0.5, 1.0),
    "by embeddings": ({"prefilter": "embeddings", "prefilter_share": 0.1}, {}, THIRD + 0.1, 1.0 + THIRD),
}


@pytest.mark.parametrize(("params", "asked", "candidate", "target"), COSTS.values(), ids=COSTS)
def test_its_cost(params, asked, candidate, target):
    cost = cost_of(LessParams(**params), CostRequest(**asked))
    assert (cost.candidate, cost.target) == pytest.approx((candidate, target))


def test_the_filter_needs_what_it_asks():
    assert [needs_for(LessParams(prefilter=by)) for by in (None, "losses", "embeddings")] == [
        set(),
        {Need.LOSSES},
        {Need.EMBEDDINGS},
    ]


@pytest.mark.parametrize("layers", ["all", "last-1", "last-40", 0.25, 1.0, 1])
def test_layers_that_can_be(layers):
    made, faults = examine(LessParams, {"layers": layers}, owner="selector less")
    assert (made.layers, faults) == (layers, [])


@pytest.mark.parametrize("layers", ["last", "last-0", "first-2", "last--1", 0, 1.5, -1, True, None])
def test_layers_that_cannot_be(layers):
    made, faults = examine(LessParams, {"layers": layers}, owner="selector less")
    assert made is None
    assert "layers" in str(faults)
