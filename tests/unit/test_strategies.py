"""The strategies' mathematics: the worked numbers, and what each promises at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dataflex_core.domains import Domain
from dataflex_core.errors import UsageError
from dataflex_core.requests import (
    MixRequest,
    Progress,
    SelectionRequest,
    SetupContext,
    TokenLosses,
    WeighRequest,
)
from dataflex_core.rng import derive
from dataflex_core.trainer.token_weights import token_weights
from dataflex_core.trainer.weight_sums import added_up, in_short
from dataflex_strategies.mixers.random import RandomMixer, RandomParams
from dataflex_strategies.mixers.static import StaticMixer, StaticParams
from dataflex_strategies.mixers.temperature import TemperatureMixer, TemperatureParams
from dataflex_strategies.selectors.loss import LossParams as BandParams
from dataflex_strategies.selectors.loss import LossSelector, band_weights
from dataflex_strategies.selectors.random import RandomSelector
from dataflex_strategies.weighters.loss import LossParams, LossWeighter, loss_weights

pytestmark = pytest.mark.numeric

MOMENT = Progress(step=10, total_steps=50, decision=1, decisions=4, epoch=0.5, learning_rate=1e-3, seed=0)
DOMAINS = (
    Domain(name="a", start=0, size=100),
    Domain(name="b", start=100, size=25),
    Domain(name="c", start=125, size=4),
)
LOSSES = np.array([0.2, 0.5, 0.9, 1.4, 2.0, 3.1], dtype=np.float32)


def _selection(candidates, count, seed=0):
    return SelectionRequest(
        progress=MOMENT,
        domains=DOMAINS,
        candidates=candidates,
        count=count,
        steps=1,
        global_batch=count,
        rng=derive(seed, "test"),
        signals=None,
    )


def _mix(seed=0):
    past = np.ones(3) / 3
    asked = {"previous": past, "mean": past, "steps": 1, "global_batch": 4}
    return MixRequest(progress=MOMENT, domains=DOMAINS, **asked, rng=derive(seed), signals=None)


def _shares(mixer, seed=0):
    p = np.asarray(mixer.mix(_mix(seed)))
    return p / p.sum()


def test_the_bands_of_the_worked_numbers():
    weights = band_weights(LOSSES, BandParams(focus="medium"))
    expected = [0.071429, 0.071429, 0.357143, 0.357143, 0.071429, 0.071429]
    np.testing.assert_allclose(weights / weights.sum(), expected, atol=1e-6)


@pytest.mark.parametrize(("focus", "inside"), [("low", [0, 1]), ("medium", [2, 3]), ("high", [4, 5])])
def test_the_band_is_drawn_as_often_as_it_is_boosted(focus, inside):
    selector = LossSelector(BandParams(focus=focus, boost=5.0))
    drawn = np.zeros(6)
    for seed in range(4000):
        drawn[selector.choose(_selection(np.arange(6), 1, seed), LOSSES).ids] += 1
    np.testing.assert_allclose(drawn[inside].sum() / 4000, 10 / 14, atol=0.03)


def test_temperature_flattens_the_band():
    weights = band_weights(LOSSES, BandParams(focus="high", boost=9.0, temperature=2.0))
    assert weights.max() / weights.min() == pytest.approx(3.0)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_loss_selector_never_draws_what_has_no_loss(count):
    losses = LOSSES.copy()
    losses[[1, 4]] = np.nan
    ids = LossSelector(BandParams()).choose(_selection(np.arange(10, 16), count), losses).ids
    assert len(ids) == min(count, 4)
    assert not {11, 14} & set(ids.tolist())
    assert len(LossSelector(BandParams()).choose(_selection(np.arange(6), 3), np.full(6, np.nan, np.float32)).ids) == 0


def test_random_selection_is_uniform_without_replacement():
    seen = np.zeros(20)
    for seed in range(2000):
        ids = RandomSelector(None).select(_selection(np.arange(20), 5, seed)).ids
        assert len(set(ids.tolist())) == 5
        seen[ids] += 1
    np.testing.assert_allclose(seen / 2000, 0.25, atol=0.05)


@pytest.mark.parametrize("concentration", [0.5, 1.0, 50.0])
def test_random_proportions_are_dirichlet(concentration):
    mixer = RandomMixer(RandomParams(concentration=concentration))
    draws = np.stack([_shares(mixer, seed) for seed in range(3000)])
    np.testing.assert_allclose(draws.mean(axis=0), 1 / 3, atol=0.02)
    variance = (1 / 3) * (2 / 3) / (3 * concentration + 1)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.15)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1.0, [100 / 129, 25 / 129, 4 / 129]), (2.0, [10 / 17, 5 / 17, 2 / 17]), (1e9, [1 / 3, 1 / 3, 1 / 3])],
)
def test_temperature_proportions(temperature, expected):
    np.testing.assert_allclose(
        _shares(TemperatureMixer(TemperatureParams(temperature=temperature))), expected, atol=1e-6
    )


@pytest.mark.parametrize("given", [[1.0, 2.0, 1.0], {"b": 2.0, "a": 1.0, "c": 1.0}])
def test_static_proportions_by_name_and_by_position(given):
    mixer = StaticMixer(StaticParams(proportions=given))
    mixer.setup(SetupContext(domains=DOMAINS, targets=(), total_steps=10, seed=0))
    np.testing.assert_allclose(_shares(mixer), [0.25, 0.5, 0.25])


@pytest.mark.parametrize("given", [[1.0, 2.0], {"a": 1.0, "b": 1.0}, {"a": 1, "b": 1, "c": 1, "d": 1}, [0.0, 0.0, 0.0]])
def test_static_proportions_that_fit_no_run(given):
    with pytest.raises(UsageError):
        StaticMixer(StaticParams(proportions=given)).setup(
            SetupContext(domains=DOMAINS, targets=(), total_steps=10, seed=0)
        )


def test_the_loss_weights_of_the_worked_numbers():
    weights = loss_weights(torch.tensor([0.5, 1.0, 2.0, 4.0]), LossParams()) / 4
    torch.testing.assert_close(weights, torch.tensor([0.135036, 0.179695, 0.318202, 0.367067]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("strategy", ["linupper", "quadratic", "extremes"])
@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_the_shapes_of_the_loss_weights(strategy, delta):
    losses = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    weights = loss_weights(losses, LossParams(strategy=strategy, delta=delta))
    assert weights.mean() == pytest.approx(1.0)
    h = (losses / 2 - 1) * delta
    f = {
        "linupper": torch.minimum(h + delta, torch.tensor(delta)),
        "quadratic": 1 - h**2 / delta**2,
        "extremes": h.abs(),
    }
    torch.testing.assert_close(weights.log() - weights.log()[0], f[strategy] - f[strategy][0], atol=1e-5, rtol=1e-5)


def _token_losses(rows, counts, width=5):
    mask = torch.arange(width) < torch.tensor(counts)[:, None]
    return TokenLosses(values=torch.tensor(rows)[:, None].expand(-1, width) * mask, mask=mask)


def _weigh(losses):
    ids = torch.arange(len(losses.values))
    request = WeighRequest(progress=MOMENT, domains=DOMAINS, ids=ids, rng=derive(0))
    return LossWeighter(LossParams()).weigh(request, losses)


def test_equal_losses_and_a_batch_of_one_weigh_the_same():
    torch.testing.assert_close(_weigh(_token_losses([2.0, 2.0, 2.0], [1, 3, 5])), torch.ones(3))
    torch.testing.assert_close(_weigh(_token_losses([2.0], [4])), torch.ones(1))


def test_a_sample_without_a_target_token_weighs_nothing():
    weights = _weigh(_token_losses([1.0, 9.0, 2.0], [2, 0, 2]))
    assert weights[1] == 0
    assert torch.isfinite(weights).all()


def test_weights_are_normalised_over_target_tokens():
    product = torch.tensor([0.5, 1.5, 1.0, 1.0]) * torch.tensor([2.0, 1.0, 0.5, 0.5])
    equal = token_weights(product, _token_losses([1.0] * 4, [3, 3, 3, 3]))
    torch.testing.assert_close(equal[:, 0], torch.tensor([1.142857, 1.714286, 0.571429, 0.571429]), atol=1e-6, rtol=0)
    losses = _token_losses([1.0] * 3, [1, 2, 5])
    uneven = token_weights(torch.tensor([3.0, 1.0, 0.5]), losses)
    assert float(uneven[losses.mask].mean()) == pytest.approx(1.0)
    assert token_weights(torch.tensor([7.0]), _token_losses([1.0], [2]))[0, 0] == pytest.approx(1.0)


def test_the_effective_share_of_the_worked_numbers():
    assert _in_short(torch.tensor([0.5, 1.0, 1.5, 3.0])).effective_share == pytest.approx(2.88 / 4)
    assert _in_short(torch.ones(5)).effective_share == pytest.approx(1.0)


def _in_short(*steps):
    return in_short(sum(added_up(weights, torch.ones(len(weights), dtype=torch.bool)) for weights in steps).numpy())


def test_weights_in_short_are_of_all_steps():
    told = _in_short(torch.tensor([0.5, 1.0, 1.5, 3.0]), torch.ones(4), torch.tensor([float("nan"), 1.0]))
    assert (told.count, told.lost, told.mean) == (9, 1, pytest.approx(11 / 9))
    assert told.spread == pytest.approx(np.std([0.5, 1.0, 1.5, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    assert told.effective_share == pytest.approx((0.72 + 1 + 1) / 3)
    assert in_short(None) is None
    assert _in_short(torch.zeros(3)).effective_share is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(2), "not with 3 or 3 x 5"),
        (torch.ones(3, 4), "not with 3 or 3 x 5"),
        ([1.0, 1.0, 1.0], "not with 3 or 3 x 5"),
        (torch.tensor([1.0, -1.0, 1.0]), "not finite and >= 0"),
        (torch.tensor([1.0, math.nan, 1.0]), "not finite and >= 0"),
        (torch.tensor([1.0, math.inf, 1.0]), "not finite and >= 0"),
        (torch.zeros(3), "zero for every target token"),
        (torch.tensor([0.0, 1.0, 0.0]), "zero for every target token"),
    ],
)
def test_weights_that_break_the_contract(weights, said):
    with pytest.raises(ValueError, match=said):
        token_weights(weights, _token_losses([1.0, 1.0, 1.0], [2, 0, 2]))
