"""Mixers that learn: the worked numbers of their mathematics, and what each promises at its edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex_core.domains import Domain
from dataflex_core.errors import UsageError
from dataflex_core.requests import CostRequest, MixRequest, Progress, SetupContext, StepFacts
from dataflex_core.rng import derive
from dataflex_core.spec import Need
from dataflex_strategies.mixers import doremi, dynamic_moe, odm, sheared
from dataflex_strategies.mixers.doremi import DoReMiMixer, DoReMiParams
from dataflex_strategies.mixers.dynamic_moe import DynamicMoEMixer, DynamicMoEParams
from dataflex_strategies.mixers.exponentiated import raised
from dataflex_strategies.mixers.odm import OdmMixer, OdmParams
from dataflex_strategies.mixers.sheared import ShearedMixer, ShearedParams

pytestmark = pytest.mark.numeric

MOMENT = Progress(step=10, total_steps=50, decision=1, decisions=4, epoch=0.5, learning_rate=1e-3, seed=0)
DOMAINS = tuple(Domain(name=name, start=10 * k, size=10) for k, name in enumerate("abc"))
CONTEXT = SetupContext(domains=DOMAINS, targets=(), total_steps=50, seed=0)
UNIFORM = np.full(3, 1 / 3)
numbers = st.lists(st.floats(0, 1e3), min_size=3, max_size=3)


def begun(mixer):
    mixer.setup(CONTEXT)
    return mixer


def trained(*samples, proportions=UNIFORM):
    """A step that trained ``samples``: (domain, mean loss, target tokens) each, with a loss of 1 by the reference."""
    domain, losses, tokens = (np.array(column) for column in zip(*samples, strict=True))
    return StepFacts(
        progress=MOMENT,
        domains=DOMAINS,
        ids=domain * 10,
        losses=losses.astype("f4"),
        tokens=tokens,
        proportions=proportions,
        excess=(np.maximum(losses - 1, 0) * tokens).astype("f4"),
        reference_losses=np.ones(len(domain), dtype="f4"),
    )


@pytest.mark.parametrize("eta", [5e-324, 1e-30, 1e200, 1e308])
@pytest.mark.parametrize("scores", [[0.0, 2.0, 9.0], [-3.0, -8.0, 1e6], [0.0, 0.0, 0.0]])
def test_proportions_are_raised_by_any_factor(eta, scores):
    made = raised([0.25, 0.75, 0.0], scores, eta=eta, smoothing=0.0)
    even = eta < 1 or scores[0] == scores[1]
    wanted = [0.25, 0.75, 0] if even else [0, 1, 0] if scores[1] > scores[0] else [1, 0, 0]
    np.testing.assert_allclose(made, wanted, atol=1e-12)


def decided(mixer, *, steps=1, signals=None, previous=UNIFORM, rng=None):
    shared = {"previous": previous, "mean": UNIFORM, "steps": steps, "global_batch": 4, "signals": signals}
    return mixer.mix(MixRequest(progress=MOMENT, domains=DOMAINS, **shared, rng=derive(0) if rng is None else rng))


@dataclass(frozen=True)
class HeldOut:
    """Signals of held-out samples, by domain: (mean loss, target tokens) each; a reference model's loss is 1."""

    held: Mapping[str, Sequence[tuple[float, int]]]
    domain: str = ""

    def holdout(self, domain):
        return replace(self, domain=domain)

    def __len__(self):
        return len(self.held[self.domain])

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        return values[np.argsort(shard)]

    def losses(self, shard, *, model=None):
        return np.array([self.held[self.domain][i][0] if model is None else 1.0 for i in shard], dtype=np.float32)

    def target_tokens(self, ids):
        return np.array([self.held[self.domain][i][1] for i in ids])


HELD = HeldOut({"a": [(1.0, 30), (5.0, 10)], "b": [(0.5, 10)], "c": [(float("nan"), 0)]})


def goes_on(mixer):
    """Another of the same kind, from the state of this one."""
    other = begun(type(mixer)(mixer.params))
    other.load_state_dict(mixer.state_dict())
    return other


# ----------------------------------------------------------------------------------------------------------- doremi

DOREMI = DoReMiParams(reference_model="base")


def test_the_update_of_doremi_of_the_worked_numbers():
    alpha = doremi.updated(UNIFORM, [0.5, 0.1, 0.0], eta=1.0, smoothing=1e-3)
    np.testing.assert_allclose(alpha, [0.439097, 0.294446, 0.266457], atol=1e-6)


@given(numbers, st.floats(1e-3, 1e3), st.floats(1e-6, 0.5))
def test_exponentiated_proportions_are_proportions_and_follow_the_scores(scores, eta, smoothing):
    alpha = doremi.updated(UNIFORM, scores, eta=eta, smoothing=smoothing)
    assert alpha.sum() == pytest.approx(1.0)
    assert (alpha >= smoothing / 3 * (1 - 1e-9)).all()
    order = np.argsort(scores)
    assert (np.diff(alpha[order]) >= -1e-12).all()


def test_doremi_samples_uniformly_and_weighs_by_what_exceeds_the_reference():
    mixer = begun(DoReMiMixer(DOREMI))
    mixer.observe(trained((0, 1.5, 10), (1, 1.2, 10)))
    mixer.observe(trained((1, 0.5, 20), (2, 0.8, 5), (2, float("nan"), 0)))
    made = decided(mixer)
    alpha = doremi.updated(UNIFORM, [0.5, 2 / 30, 0.0], eta=1.0, smoothing=1e-3)
    np.testing.assert_allclose(made.proportions, UNIFORM)
    np.testing.assert_allclose(made.loss_weights, alpha * 3, rtol=1e-6)
    assert made.notes["reference_lead"] == pytest.approx((5 + 2 - 10 - 1) / 45, rel=1e-5)


def test_a_domain_that_was_not_drawn_keeps_its_last_excess():
    mixer = begun(DoReMiMixer(DOREMI))
    mixer.observe(trained((0, 1.5, 10)))
    first = decided(mixer)
    mixer.observe(trained((1, 1.0, 10)))
    second = decided(mixer)
    assert second.notes["excess/a"] == first.notes["excess/a"] == pytest.approx(0.5)
    assert second.loss_weights[0] > first.loss_weights[0]
    np.testing.assert_allclose(decided(mixer).loss_weights, second.loss_weights)  # nothing was seen


@pytest.mark.parametrize(("last", "told"), [(0.9, 1), (1.1, 0)])
def test_a_reference_that_leads_in_no_domain_is_told_once(last, told):
    """Over a tenth of the run's 50 steps, and once all domains were drawn."""
    mixer, said = begun(DoReMiMixer(DOREMI)), []
    for turn in range(20):
        losses = [(0, 0.5, 10), (1, 1.0, 10)] if turn < 9 else [(2, last, 10), (0, 0.8, 1)]
        mixer.observe(trained(*losses))
        said += decided(mixer).remarks
        assert len(said) <= (turn >= 9)
        mixer = goes_on(mixer)
    assert said == [doremi.BEHIND] * told


def test_the_mean_of_doremi_is_over_the_steps():
    mixer = begun(DoReMiMixer(DOREMI))
    before = decided(mixer, steps=3)
    mixer.observe(trained((0, 3.0, 10)))
    after = decided(mixer, steps=1)
    assert after.notes["mean/a"] == pytest.approx((3 * before.notes["alpha/a"] + after.notes["alpha/a"]) / 4)


def test_doremi_divides_by_what_it_samples():
    mixer = begun(DoReMiMixer(DoReMiParams(reference_model="base", proportions={"a": 2, "b": 1, "c": 1})))
    np.testing.assert_allclose(decided(mixer).loss_weights, [2 / 3, 4 / 3, 4 / 3])
    with pytest.raises(UsageError, match="b would never be drawn"):
        begun(DoReMiMixer(DoReMiParams(reference_model="base", proportions=[1.0, 0.0, 1.0])))


# -------------------------------------------------------------------------------------------------------------- odm


def test_the_turns_of_odm_of_the_worked_numbers():
    estimates, shares = np.zeros(3), UNIFORM
    for turn, (domain, loss) in enumerate([(0, 3.0), (1, 2.0), (2, 2.5), (0, 2.8)], start=1):
        estimates = odm.rewarded(estimates, domain, loss, shares[domain], 0.9)
        shares = odm.proportions(estimates, turn)
        if turn < 4:
            np.testing.assert_allclose(shares, UNIFORM, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shares, [0.340308, 0.329164, 0.330528], atol=1e-6)


@given(numbers, st.integers(0, 10**6), st.floats(0.01, 1.0))
def test_no_domain_of_odm_starves(rewards, turn, x):
    shares, least = odm.proportions(rewards, turn, x), odm.exploration(turn, 3, x)
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= least * (1 - 1e-9)).all()
    assert 0 < least <= 1 / 3


def test_how_long_odm_explores():
    rewards = np.arange(40.0)
    assert np.ptp(odm.proportions(rewards, 147)) < 1e-12 < np.ptp(odm.proportions(rewards, 148))
    assert np.ptp(odm.proportions(rewards, 1, x=0.5)) > 1e-3


def test_odm_is_rewarded_with_raw_losses_by_token_at_every_step():
    mixer = begun(OdmMixer(OdmParams()))
    shares = np.array([0.5, 0.3, 0.2])
    mixer.observe(trained((0, 4.0, 10), (0, 1.0, 30), (2, 3.0, 5), (1, float("nan"), 0), proportions=shares))
    mixer.observe(trained((2, 2.0, 7), proportions=shares))
    made = decided(mixer)
    of_c = 0.9 * (0.1 * 3.0 / 0.2) + 0.1 * 2.0 / 0.2
    expected = {"exploration": 1.0, "reward/a": 0.1 * 1.75 / 0.5, "reward/b": 0.0, "reward/c": of_c}
    assert made.notes == pytest.approx(expected)


def test_odm_may_be_rewarded_with_the_losses_of_what_is_held_out():
    params, shares = OdmParams(reward="holdout"), np.array([0.5, 0.3, 0.2])
    mixer = begun(OdmMixer(params))
    mixer.observe(trained((2, 9.0, 10)))
    made = decided(mixer, signals=HELD, previous=shares)
    expected = {"exploration": 1.0, "reward/a": 0.1 * 2.0 / 0.5, "reward/b": 0.1 * 0.5 / 0.3, "reward/c": 0.0}
    assert made.notes == pytest.approx(expected)
    assert mixer.state_dict()["turns"] == 1, "a decision is a turn"
    assert (odm.needs(params), odm.needs(OdmParams())) == ({Need.HOLDOUT, Need.LOSSES}, set())


# ---------------------------------------------------------------------------------------------------------- sheared

TARGETS = ShearedParams(
    target_losses={"c": 0.5, "a": 1.0, "b": 2.0}, proportions=[0.4, 0.4, 0.2], smoothing=0.0, losses="training"
)


def test_the_update_of_sheared_of_the_worked_numbers():
    made = sheared.updated([0.4, 0.4, 0.2], [0.2, 0.0, 0.1], eta=1.0, smoothing=1e-4)
    np.testing.assert_allclose(made, [0.440295, 0.360489, 0.199216], atol=1e-6)


@pytest.mark.parametrize(("clip", "gaps"), [(True, [0.5, 0.0, 0.0]), (False, [0.5, -1.0, 0.0])])
def test_sheared_follows_the_distance_to_the_target(clip, gaps):
    mixer = begun(ShearedMixer(replace(TARGETS, clip=clip)))
    mixer.observe(trained((0, 2.0, 10), (0, 1.0, 10), (1, 1.0, 3)))
    np.testing.assert_allclose(
        decided(mixer).proportions, sheared.updated([0.4, 0.4, 0.2], gaps, eta=1.0, smoothing=0.0), rtol=1e-6
    )


def test_the_target_of_sheared_may_be_a_reference_model():
    params = ShearedParams(reference_model="base", losses="training")
    mixer = begun(ShearedMixer(params))
    mixer.observe(trained((0, 1.7, 10), (1, 0.5, 10)))
    assert decided(mixer).notes == pytest.approx({"gap/a": 0.7, "gap/b": 0.0, "gap/c": 0.0}, rel=1e-5)
    assert sheared.needs(params) == {Need.REFERENCE_LOSSES}
    assert sheared.needs(TARGETS) == set()


def test_sheared_follows_the_losses_of_what_is_held_out():
    mixer = begun(ShearedMixer(replace(TARGETS, losses="holdout")))
    mixer.observe(trained((2, 9.0, 10)))
    made = decided(mixer, signals=HELD)
    assert made.notes == {"held_out/a": 2.0, "held_out/b": 0.5, "gap/a": 1.0, "gap/b": 0.0, "gap/c": 0.0}
    expected = sheared.updated([0.4, 0.4, 0.2], [1.0, 0.0, 0.0], eta=1.0, smoothing=0.0)
    np.testing.assert_allclose(made.proportions, expected)
    params = ShearedParams(reference_model="base")
    assert decided(begun(ShearedMixer(params)), signals=HELD).notes["gap/a"] == 1.0
    assert sheared.needs(params) == {Need.HOLDOUT, Need.LOSSES}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "neither is given"),
        ({"target_losses": [1.0] * 3, "reference_model": "base"}, "both are given"),
        ({"target_losses": [1.0]}, "1 target_losses for 3 domains"),
        ({"target_losses": {"a": 1.0, "b": 1.0, "d": 1.0}}, "differ in c, d"),
        ({"target_losses": [1.0] * 3, "proportions": [0.0] * 3}, "all proportions are zero"),
    ],
)
def test_targets_of_sheared_that_fit_no_run(given, said):
    with pytest.raises(UsageError, match=said):
        begun(ShearedMixer(ShearedParams(**given)))


# ------------------------------------------------------------------------------------------------------ dynamic-moe

USUAL = {"eta": 10.0, "smoothing": 0.05}


def test_the_update_of_dynamic_moe_of_the_worked_numbers():
    loads = [[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]]
    apart = dynamic_moe.distances(loads, distance="l2")
    np.testing.assert_allclose(apart, [0.282843, 0.235702, 0.424264], atol=1e-6)
    made = dynamic_moe.updated(UNIFORM, loads, **USUAL, distance="l2")
    np.testing.assert_allclose(made, [0.182248, 0.120010, 0.697743], atol=1e-6)


@pytest.mark.parametrize("distance", ["l2", "cosine"])
@given(loads=st.lists(numbers, min_size=1, max_size=6))
def test_domains_that_use_experts_alike_stay_and_the_others_keep_their_part(distance, loads):
    w = np.arange(1, len(loads) + 1) / sum(range(1, len(loads) + 1))
    made = dynamic_moe.updated(w, loads, **USUAL, distance=distance)
    assert made.sum() == pytest.approx(1)
    assert (made >= 0.05 / len(loads) - 1e-12).all()
    alike = dynamic_moe.updated(w, loads[:1] * len(loads), **USUAL, distance=distance)
    np.testing.assert_allclose(alike, 0.95 * w + 0.05 / len(loads), atol=1e-12)
    turned = dynamic_moe.updated(w[::-1], loads[::-1], **USUAL, distance=distance)
    np.testing.assert_allclose(turned[::-1], made, rtol=1e-6)


def test_a_domain_without_loads_is_left_out():
    apart = dynamic_moe.distances([[0.6, 0.4], [np.nan, np.nan], [0.1, 0.9]], distance="l2")
    np.testing.assert_allclose(apart, [0.353553, 0, 0.353553], atol=1e-6)


def test_the_cosine_does_not_see_how_much_there_is():
    loads = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])
    many = dynamic_moe.distances(loads * [[1], [5], [9]], distance="cosine")
    np.testing.assert_allclose(many, dynamic_moe.distances(loads, distance="cosine"), rtol=1e-12)


class Loads:
    """Signals that have the loads of the worked numbers, by domain, and remember what they were asked."""

    def __init__(self):
        self.asked = []

    def shard(self, ids):
        return ids[::-1]

    def expert_loads(self, shard):
        self.asked.append(sorted(shard.tolist()))
        return np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]], dtype="f4")[shard // 10]

    def gather(self, ids, shard, rows):
        return rows[np.argsort(shard)]


def test_dynamic_moe_looks_at_fresh_samples_of_each_domain():
    mixer, signals = begun(DynamicMoEMixer(DynamicMoEParams(probe=4))), Loads()
    made = decided(mixer, signals=signals)
    np.testing.assert_allclose(made.proportions, [0.182248, 0.120010, 0.697743], atol=1e-6)
    assert made.notes == pytest.approx({"distance/a": 0.282843, "distance/b": 0.235702, "distance/c": 0.424264}, 1e-5)
    decided(mixer, signals=signals, rng=derive(1))
    assert all([sum(i // 10 == k for i in asked) for k in range(3)] == [4, 4, 4] for asked in signals.asked)
    assert signals.asked[0] != signals.asked[1]
    assert goes_on(mixer).state_dict()["shares"].tolist() == mixer.state_dict()["shares"].tolist()
    assert dynamic_moe.cost(DynamicMoEParams(probe=4), CostRequest(domains=3)).decision == pytest.approx(4)


# -------------------------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize(
    "mixer",
    [DoReMiMixer(DOREMI), OdmMixer(OdmParams(exploration=0.5)), ShearedMixer(TARGETS)],
    ids=lambda mixer: type(mixer).__name__,
)
def test_a_mixer_that_learns_goes_on_as_if_it_had_not_stopped(mixer):
    begun(mixer)
    mixer.observe(trained((0, 1.5, 10), (1, 1.2, 10)))
    decided(mixer)
    mixer.observe(trained((2, 1.7, 3)))
    other = goes_on(mixer)
    for each in (mixer, other):
        each.observe(trained((0, 1.1, 3), (2, 2.0, 4)))
    mine, theirs = decided(mixer), decided(other)
    np.testing.assert_array_equal(mine.proportions, theirs.proportions)
    assert mine.notes == theirs.notes
