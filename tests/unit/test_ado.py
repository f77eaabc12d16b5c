"""Mixer ado: scaling laws that are fitted to losses, what is kept of these, and the proportions that follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_mixers import CONTEXT, DOMAINS, UNIFORM, begun, decided, trained

from dataflex_core.domains import Domain
from dataflex_core.requests import SetupContext
from dataflex_strategies.mixers import ado
from dataflex_strategies.mixers.ado import AdoMixer, AdoParams
from dataflex_strategies.mixers.scaling_law import Curve, fit, slopes
from dataflex_strategies.mixers.step_losses import MOST, StepLosses

pytestmark = pytest.mark.numeric

SHORT = AdoParams(start=20, every=10, smoothing=5, spacing=1)
M = np.arange(1, 40) * 320.0


def loss_of(curve, samples):
    return np.exp(curve.a) * samples**-curve.alpha + np.exp(curve.e)


def run(mixer, steps, *losses, first=0):
    """Steps that train a sample of each domain that has a loss then, by functions of the step."""
    for step in range(first, first + steps):
        mixer.observe(trained(*((k, loss(step), 10) for k, loss in enumerate(losses) if loss(step) is not None)))


def falling(step):
    return 2.0 + 3.0 * (step + 1.0) ** -0.5


# -------------------------------------------------------------------------------------------------------- the curves


@pytest.mark.parametrize("planted", [Curve(2.0, 0.3, 0.5), Curve(3.0, 0.4, -0.5), Curve(0.5, 0.1, -1.0)])
def test_a_planted_curve_is_found_again(planted):
    np.testing.assert_allclose(fit(M, loss_of(planted, M)), planted, atol=1e-4)


def test_a_few_wild_losses_hardly_move_a_curve():
    losses = loss_of(Curve(2.0, 0.3, 0.5), M)
    losses[[3, 20]] *= 3
    np.testing.assert_allclose(fit(M, losses), [2.0, 0.3, 0.5], atol=5e-3)


def test_the_exponent_is_bounded():
    steep, flat = fit(M, 1 + 1e5 * M**-2.0), fit(M, np.full(len(M), 2.0))
    assert steep.alpha == pytest.approx(0.8)
    assert 0 <= flat.alpha <= 0.8
    np.testing.assert_allclose(loss_of(flat, M), 2.0, rtol=1e-3)


def test_too_few_points_are_no_curve():
    with pytest.raises(ValueError, match="4 points are too few"):
        fit(M[:4], loss_of(Curve(2.0, 0.3, 0.5), M[:4]))


def test_slopes_are_those_of_the_curves():
    curves = [Curve(2.0, 0.3, 0.5), Curve(1.0, 0.5, 0.2)]
    by_differences = [(loss_of(c, 1000.0 - 0.5) - loss_of(c, 1000.0 + 0.5)) for c in curves]
    np.testing.assert_allclose(slopes(curves, 1000.0), by_differences, rtol=1e-6)
    np.testing.assert_allclose(slopes([2.0, 0.3, 0.5], 100), 0.3 * np.exp(2) * 100**-1.3)
    flat = slopes(Curve(1.0, 0.0, 0.2), 10)
    assert flat == pytest.approx(0.05 * np.e / 10), "an exponent counts as 0.05 at least"


# ------------------------------------------------------------------------------------------------- what is kept


def test_losses_are_smoothed_by_a_cubic_and_thinned_from_the_end():
    kept = StepLosses(1)
    cubic = np.polyval([1e-4, -0.01, 0.2, 3.0], np.arange(1.0, 41))
    for loss in cubic:
        kept.add([loss * 7], [7])
    steps, losses = kept.smoothed(0, 10, 10)
    np.testing.assert_array_equal(steps, [10, 20, 30, 40])
    np.testing.assert_allclose(losses, cubic[9::10], rtol=1e-9)


def test_steps_that_did_not_draw_a_domain_lie_between_those_that_did():
    kept = StepLosses(2)
    for tokens, loss in [(0, 0.0), (2, 3.0), (0, 0.0), (4, 5.0), (1, np.inf), (2, 7.0)]:
        kept.add([tokens * loss if tokens else 0.0, 0.0], [tokens, 0])
    steps, losses = kept.smoothed(0, 1, 1)
    np.testing.assert_array_equal(steps, [2, 3, 4, 5, 6])
    np.testing.assert_allclose(losses, [3, 4, 5, 6, 7])
    assert len(kept.smoothed(1, 5, 1)[0]) == 0


def test_a_long_run_keeps_no_more_than_a_short_one():
    kept = StepLosses(2)
    for step in range(5 * MOST):
        kept.add([falling(step) * 3, 0.0], [3, 0])
    state = kept.state()
    assert len(state["sums"]) <= MOST
    assert state["sums"][:, 1, 0].sum() == 15 * MOST
    steps, losses = kept.smoothed(0, 101, 10)
    np.testing.assert_allclose(losses[20:], [falling(step - 1) for step in steps[20:]], rtol=1e-3)
    assert steps[-1] == pytest.approx(5 * MOST, abs=8)


@given(st.integers(0, 3 * MOST))
def test_what_is_kept_goes_on_from_a_state(steps):
    kept = StepLosses(1)
    kept.steps, kept._width = steps - steps % 4, 4 if steps >= 2 * MOST else 2 if steps >= MOST else 1
    other = StepLosses.of(kept.state())
    for each in (kept, other):
        each.add([1.0], [2])
        each.add([2.0], [2])
    np.testing.assert_array_equal(kept.state()["sums"], other.state()["sums"])


# ---------------------------------------------------------------------------------------------------- proportions

shares = st.lists(st.floats(1e-3, 1.0), min_size=4, max_size=4).map(lambda x: np.array(x) / sum(x))


@given(shares, shares, st.lists(st.floats(1e-9, 1e3) | st.sampled_from([0.0, np.nan]), min_size=4, max_size=4))
def test_what_is_preferred_are_proportions_with_a_floor(sizes, drawn, falls):
    made = ado.preferred(sizes, drawn, falls)
    assert made.sum() == pytest.approx(1.0)
    assert (made >= 0.01 * (1 - 1e-9)).all()
    if not (np.array(falls) > 0).any():
        np.testing.assert_allclose(made, ado.at_least(sizes, 0.01))


def test_the_preference_by_hand():
    # sizes x the root of what was drawn x slopes: .5·.6·1 = .3, .3·.5·4 = .6, .2·.6245·0.8 = .0999
    made = ado.preferred([0.5, 0.3, 0.2], [0.36, 0.25, 0.39], [1.0, 4.0, 0.8])
    np.testing.assert_allclose(made, [0.300024, 0.600048, 0.099928], atol=1e-6)
    # b has no slope and keeps .3; a is wanted 100 times as much as c, which has the least.
    made = ado.preferred([0.35, 0.3, 0.35], [0.25] * 3, [100.0, np.nan, 0.1])
    np.testing.assert_allclose(made, [0.99 * 0.699301 / 0.999301, 0.3 * 0.99 / 0.999301, 0.01], atol=1e-6)


def test_with_many_domains_the_least_is_half_an_even_share():
    made = ado.preferred(np.full(200, 1 / 200), np.full(200, 1 / 200), np.r_[1e6, np.ones(199)])
    assert made.min() == pytest.approx(0.5 / 200)
    assert made.sum() == pytest.approx(1.0)


# ----------------------------------------------------------------------------------------------------- the mixer


def test_ado_is_by_size_until_the_first_fit_and_then_goes_to_what_falls_fastest():
    sized = tuple(Domain(name=d.name, start=(0, 10, 20)[k], size=(10, 10, 20)[k]) for k, d in enumerate(DOMAINS))
    mixer = AdoMixer(SHORT)
    mixer.setup(SetupContext(domains=sized, targets=(), total_steps=100, seed=0, global_batch=3))
    run(mixer, 19, falling, lambda step: 2 + 0.3 * (step + 1.0) ** -0.5, falling)
    first = decided(mixer)
    np.testing.assert_allclose(first.proportions, [0.25, 0.25, 0.5])
    assert first.notes == {}
    run(mixer, 30, falling, lambda step: 2 + 0.3 * (step + 1.0) ** -0.5, falling, first=19)
    made = decided(mixer)
    assert made.proportions[0] > made.proportions[1]
    assert made.remarks == ()
    assert made.notes["exponent/a"] == pytest.approx(0.5, abs=0.05)
    assert made.notes["irreducible/a"] == pytest.approx(2.0, abs=0.1)
    falls = [made.notes[f"slope/{name}"] for name in "abc"]
    wanted = ado.preferred([0.25, 0.25, 0.5], mixer.state_dict()["given"], falls)
    np.testing.assert_allclose(made.proportions, 0.9 * UNIFORM + 0.1 * wanted)


def test_a_domain_without_a_curve_has_its_share_by_size_and_a_line_says_why():
    mixer = begun(AdoMixer(SHORT))
    run(mixer, 30, falling, lambda step: 1 + 0.01 * step, lambda step: None)
    made = decided(mixer)
    assert made.remarks == (
        "b has its share by size: its loss does not fall",
        "c has its share by size: no step has drawn it",
    )
    np.testing.assert_allclose(made.proportions, UNIFORM, atol=1e-9)
    assert not any(name.endswith(("/b", "/c")) for name in made.notes)
    assert decided(mixer).remarks == (), "there is nothing new to say"
    run(mixer, 10, falling, lambda step: 1 + 0.01 * step, lambda step: 3.0 if step > 37 else None, first=30)
    assert decided(mixer).remarks == ("c has its share by size: a curve needs 5 points, and it has 2",)


def test_losses_are_fitted_anew_every_so_many_steps():
    mixer = begun(AdoMixer(SHORT))
    run(mixer, 20, falling, falling, falling)
    first = decided(mixer).notes
    run(mixer, 9, *[lambda step: 1.0 + 3.0 * (step + 1.0) ** -0.3] * 3, first=20)
    between = decided(mixer).notes
    assert between["exponent/a"] == first["exponent/a"]
    assert between["slope/a"] < first["slope/a"], "the slope goes on falling"
    run(mixer, 1, falling, falling, falling, first=29)
    assert decided(mixer).notes["exponent/a"] != first["exponent/a"]


def test_ado_goes_on_as_if_it_had_not_stopped():
    mixer = begun(AdoMixer(SHORT))
    run(mixer, 25, falling, lambda step: 1 + 0.01 * step, falling)
    decided(mixer)
    run(mixer, 5, falling, falling, falling, first=25)
    other = AdoMixer(SHORT)
    other.setup(CONTEXT)
    other.load_state_dict(mixer.state_dict())
    for each in (mixer, other):
        run(each, 10, falling, falling, falling, first=30)
    mine, theirs = decided(mixer), decided(other)
    np.testing.assert_array_equal(mine.proportions, theirs.proportions)
    assert (mine.notes, mine.remarks) == (theirs.notes, theirs.remarks)
