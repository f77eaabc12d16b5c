"""Mixer doge: scores of domains by their gradients, and the proportions that follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_mixers import DOMAINS, MOMENT, UNIFORM, begun, goes_on

from dataflex_core import CostRequest, Need
from dataflex_core.requests import MixRequest
from dataflex_core.rng import derive
from dataflex_core.signals import direction_of
from dataflex_strategies.mixers import doge
from dataflex_strategies.mixers.doge import DogeMixer, DogeParams

pytestmark = pytest.mark.numeric


class Gradients:
    """Signals of samples with gradients [N, 2]; a row of NaN is of a sample without a target token."""

    def __init__(self, rows, **targets):
        self.rows, self._targets = np.array(rows, dtype=float), targets

    @property
    def targets(self):
        return tuple(self._targets)

    def target(self, name):
        return Gradients(self._targets[name])

    def __len__(self):
        return len(self.rows)

    def target_tokens(self, ids):
        return np.where(np.isnan(self.rows[ids, 0]), 0, 3)

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        return values[np.argsort(shard)]

    def direction(self, ids, weights):
        return direction_of(self, len(self), ids, weights)

    def alignments(self, shard, *, directions, adam):
        assert adam is False
        made = np.stack([one.weights[0] @ one.samples.rows[one.ids] for one in directions])
        return (self.rows[shard] @ made.T).astype(np.float32)


def pool(a, b, c):
    """Ten samples of each domain, whose gradients lie about one."""
    noise = derive(0, "noise").normal(size=(30, 2)) * 1e-3
    return np.repeat(np.array([a, b, c], dtype=float), 10, axis=0) + noise


def decided(mixer, signals):
    shared = {"previous": UNIFORM, "mean": UNIFORM, "signals": signals}
    return mixer.mix(MixRequest(progress=MOMENT, domains=DOMAINS, **shared, rng=derive(0)))


def test_the_update_of_the_worked_numbers():
    made = doge.updated(UNIFORM, [0.09, 0.0, 0.06], 0.05)
    np.testing.assert_allclose(made, [0.583393, 0.096434, 0.320173], atol=1e-6)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), st.floats(0.01, 10))
def test_scores_are_bounded_and_proportions_follow_them(helps, mu):
    scores = doge.scaled(helps, [1.0, 2.0, 3.0])
    assert ((scores >= 0) & (scores <= 5)).all()
    made = doge.updated(UNIFORM, 0.01 * scores, mu)
    assert made.sum() == pytest.approx(1.0)
    assert (np.diff(made[np.argsort(scores)]) >= -1e-12).all()


@given(st.permutations(range(4)))
def test_domains_have_no_order(order):
    vectors = derive(1, "vectors").normal(size=(4, 6))
    helps = doge.helped_others(vectors @ vectors.T)
    np.testing.assert_allclose(doge.helped_others(vectors[order] @ vectors[order].T), helps[order])
    np.testing.assert_allclose(helps[0], vectors[0] @ vectors[1:].sum(axis=0))


def test_doge_draws_more_from_what_helps_the_others():
    """a and b point alike, c across: a·b = 2 is shared by the two, and c helps nobody."""
    made = decided(begun(DogeMixer(DogeParams())), Gradients(pool([1, 0], [2, 0], [0, 1])))
    mean = (1 + 2 + 1) / 3
    assert made.notes == pytest.approx(
        {"score/a": 2 / mean, "score/b": 2 / mean, "score/c": 0, "gradient/a": 1, "gradient/b": 2, "gradient/c": 1},
        abs=0.02,
    )
    expected = doge.updated(UNIFORM, [0.01 * 2 / mean, 0.01 * 2 / mean, 0], 0.05)
    np.testing.assert_allclose(made.proportions, expected, atol=2e-3)


def test_doge_draws_more_from_what_helps_the_target_set():
    """Of two subtasks, one on the axis of c, the other half as far on that of b."""
    signals = Gradients(pool([1, 0], [-1, 0.5], [0, 1]), one=[[0, 2]], other=[[-1, 0], [np.nan, np.nan]])
    made = decided(begun(DogeMixer(DogeParams(towards="target"))), signals)
    lengths = [1, np.sqrt(1.25), 1]
    scores = np.clip(np.array([-0.5, 1.0, 1.0]) / np.mean(lengths), 0, 5)
    assert [made.notes[f"score/{name}"] for name in "abc"] == pytest.approx(scores.tolist(), abs=0.02)


def test_a_domain_without_a_gradient_scores_nothing_and_without_any_nothing_moves():
    rows = pool([1, 0], [2, 0], [3, 0])
    rows[10:20] = np.nan
    made = decided(begun(DogeMixer(DogeParams())), Gradients(rows))
    assert (made.notes["score/b"], "gradient/b" in made.notes) == (0.0, False)
    assert made.proportions[0] > made.proportions[1]
    mixer = begun(DogeMixer(DogeParams()))
    np.testing.assert_array_equal(decided(mixer, Gradients(np.full((30, 2), np.nan))).proportions, UNIFORM)
    np.testing.assert_array_equal(decided(mixer, Gradients(np.zeros((30, 2)))).proportions, UNIFORM)


def test_what_doge_needs_and_costs():
    assert (doge.needs(DogeParams()), doge.needs(DogeParams(towards="target"))) == (set(), {Need.TARGET_SET})
    made = doge.cost(DogeParams(probe=5), CostRequest(domains=3))
    assert (made.decision, made.target, made.candidate) == (2 * 5 * 3, 1.0, 0.0)


def test_doge_goes_on_as_if_it_had_not_stopped():
    signals = Gradients(pool([1, 0], [2, 0], [0, 1]))
    mixer = begun(DogeMixer(DogeParams()))
    decided(mixer, signals)
    other = goes_on(mixer)
    np.testing.assert_array_equal(decided(mixer, signals).proportions, decided(other, signals).proportions)
