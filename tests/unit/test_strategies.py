"""The strategies' mathematics: the worked numbers, and what each promises at its edges."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from host_reads import host_reads

from dataflex_core.catalog import discover
from dataflex_core.config.params import examine
from dataflex_core.domains import Domain
from dataflex_core.errors import UsageError
from dataflex_core.prepared import choose
from dataflex_core.requests import CheckRequest, MixRequest, Progress, SelectionRequest, SetupContext
from dataflex_core.rng import derive
from dataflex_core.rows import Row
from dataflex_core.score_file import About, Lines, write_scores
from dataflex_core.spec import Kind
from dataflex_core.trainer.token_weights import answered, multiplied, normalised, token_weights
from dataflex_core.trainer.weight_sums import added_up, in_short
from dataflex_core.weighing import TokenLosses, WeighRequest
from dataflex_strategies.mixers.random import RandomMixer, RandomParams
from dataflex_strategies.mixers.static import StaticMixer, StaticParams
from dataflex_strategies.mixers.temperature import TemperatureMixer, TemperatureParams
from dataflex_strategies.selectors.column import ColumnParams, ColumnSelector, taken
from dataflex_strategies.selectors.loss import LossParams as BandParams
from dataflex_strategies.selectors.loss import LossSelector, log_weights
from dataflex_strategies.selectors.random import RandomSelector
from dataflex_strategies.weighters import adapt, joint_update
from dataflex_strategies.weighters.anchors import unit
from dataflex_strategies.weighters.loss import LossParams, LossWeighter, loss_weights, temperature
from dataflex_strategies.weighters.rho_1 import kept

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
    weights = np.exp(log_weights(LOSSES, BandParams(focus="medium")))
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
    weights = np.exp(log_weights(LOSSES, BandParams(focus="high", boost=9.0, temperature=2.0)))
    assert weights.max() / weights.min() == pytest.approx(3.0)


@pytest.mark.parametrize("boost", [3.0, 1e300, 0.3, 1e-300])
@pytest.mark.parametrize("temperature", [1e-3, 1e-17, 5e-324])
@pytest.mark.parametrize(("focus", "band"), [("low", {0, 1}), ("medium", {2, 3}), ("high", {4, 5})])
def test_a_temperature_near_zero_draws_the_band_first_or_last_and_at_random(boost, temperature, focus, band):
    selector = LossSelector(BandParams(focus=focus, boost=boost, temperature=temperature))
    first = band if boost > 1 else set(range(6)) - band
    orders = [selector.choose(_selection(np.arange(6), 6, seed), LOSSES).ids.tolist() for seed in range(60)]
    assert all(set(order[: len(first)]) == first and len(order) == 6 for order in orders)
    assert {order[0] for order in orders} == first, "within them it is a draw"


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


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-3, 1e308])
def test_temperatures_at_the_ends_of_their_range(temperature):
    shares = _shares(TemperatureMixer(TemperatureParams(temperature=temperature)))
    np.testing.assert_allclose(shares, [1, 0, 0] if temperature < 1 else [1 / 3] * 3, atol=1e-12)


@pytest.mark.parametrize("concentration", [5e-324, 1e-300, 1e40, 1e200, 1e308])
def test_concentrations_at_the_ends_of_their_range(concentration):
    shares = _shares(RandomMixer(RandomParams(concentration=concentration)))
    assert np.isfinite(shares).all()
    assert shares.sum() == pytest.approx(1)
    if concentration > 1:
        np.testing.assert_allclose(shares, 1 / 3, atol=1e-12)


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


def _checked(kind, name, values, request):
    record = discover().resolve(Kind(kind), name)
    made, wrong = examine(record.load_params(), values, owner=name)
    assert wrong == []
    choose(record, made).check(request)


REFUSED = {
    "another domain": ("mixer", "static", {"proportions": {"wiki": 2, "cod": 1}}, "differ in cod, code"),
    "a domain too few": ("mixer", "static", {"proportions": {"wiki": 2}}, "differ in code"),
    "a share too many": ("mixer", "static", {"proportions": [1, 1, 1]}, "3 proportions for 2 domains"),
    "no proportions": ("mixer", "static", {}, "neither is given"),
    "two of them": ("mixer", "static", {"proportions": [1, 1], "from_run": "x"}, "both are given"),
    "nothing of any": ("mixer", "static", {"proportions": {"wiki": 0, "code": 0}}, "all proportions are zero"),
    "no losses to reach": ("mixer", "sheared", {}, "neither is given"),
    "losses of others": ("mixer", "sheared", {"target_losses": {"wiki": 1}}, "target_losses and domains differ"),
    "a domain that is never drawn": (
        "mixer", "doremi", {"reference_model": "base", "proportions": [1, 0]}, "code would never be drawn",
    ),
    "a column that is not carried": ("selector", "column", {"column": "nope"}, "asks for the column nope"),
    "an empty band": (
        "selector", "column", {"column": "rating", "take": "band", "low": 0.8, "high": 0.2}, "is empty",
    ),
    "an order by nothing": ("selector", "curriculum", {"score": "column"}, "no column is named"),
    "an order by what is not carried": ("selector", "curriculum", {"column": "age"}, "asks for the column age"),
    "a temperature from somewhere": ("weighter", "loss", {"r_start": 5}, "r_start and r_steps"),
}  # fmt: skip
FITTING = {
    "domains": ("mixer", "static", {"proportions": {"code": 2, "wiki": 1}}),
    "from a run": ("mixer", "static", {"from_run": "nowhere"}),
    "a reference": ("mixer", "sheared", {"reference_model": "base"}),
    "a column": ("selector", "column", {"column": "rating"}),
    "a file": ("selector", "column", {"scores": "nowhere"}),
    "an order": ("selector", "curriculum", {"column": "rating"}),
    "a temperature": ("weighter", "loss", {"r_start": 5, "r_steps": 3}),
    "what has no check": ("selector", "random", {}),
}
KNOWN = CheckRequest(domains=("wiki", "code"), columns=("rating",))


@pytest.mark.parametrize(("kind", "name", "values", "said"), REFUSED.values(), ids=REFUSED)
def test_parameters_that_fit_no_run_are_told_before_anything_is_loaded(kind, name, values, said):
    with pytest.raises(UsageError, match=said) as refused:
        _checked(kind, name, values, KNOWN)
    assert refused.value.hint


@pytest.mark.parametrize(("kind", "name", "values"), FITTING.values(), ids=FITTING)
def test_parameters_that_may_fit_are_let_through(kind, name, values):
    _checked(kind, name, values, KNOWN)


def test_of_domains_that_nobody_knows_yet_nothing_is_said():
    _checked("mixer", "static", {"proportions": {"whatever": 1}}, CheckRequest())
    with pytest.raises(UsageError, match="all proportions are zero"):
        _checked("mixer", "static", {"proportions": [0, 0, 0]}, CheckRequest())


@pytest.mark.parametrize("name", ["near", "tsds"])
def test_a_library_that_is_not_installed_is_told_before_anything_is_loaded(name, monkeypatch):
    monkeypatch.setattr("dataflex_strategies.neighbours.find_spec", lambda module: None)
    with pytest.raises(UsageError, match="faiss is not installed"):
        _checked("selector", name, {"library": "faiss"}, KNOWN)


def _taken_from(shares):
    """A context in which earlier runs came to these shares, by their folders."""
    return SetupContext(
        domains=DOMAINS,
        targets=(),
        total_steps=10,
        seed=0,
        earlier=lambda folder: dict(zip("abc", shares[folder], strict=True)),
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"from_run": "x"}, {"from_run": "x"}, [0.1, 0.1, 0.8]),  # which has gone on since
        ({"from_run": "x"}, {"from_run": "y"}, [0.4, 0.4, 0.2]),
        ({"from_run": "x"}, {"proportions": [1.0, 1.0, 0.0]}, [0.5, 0.5, 0.0]),
        ({"proportions": [1.0, 1.0, 0.0]}, {"from_run": "y"}, [0.4, 0.4, 0.2]),
        ({"proportions": [1.0, 1.0, 0.0]}, {"proportions": [0.0, 1.0, 0.0]}, [0.0, 1.0, 0.0]),
    ],
)
def test_static_keeps_what_it_took_until_it_is_told_otherwise(before, after, expected):
    first, then = StaticMixer(StaticParams(**before)), StaticMixer(StaticParams(**after))
    first.setup(_taken_from({"x": [0.1, 0.1, 0.8]}))
    then.setup(_taken_from({"x": [0.8, 0.1, 0.1], "y": [0.4, 0.4, 0.2]}))
    then.load_state_dict(first.state_dict())
    np.testing.assert_allclose(_shares(then), expected)


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


@pytest.mark.parametrize("strategy", ["linupper", "upper", "quadratic", "extremes"])
@pytest.mark.parametrize("delta", [5e-324, 1e-30, 1e20, 1e300])
@pytest.mark.parametrize("r", [5e-324, 1.0, 1e300])
def test_loss_weights_are_finite_at_the_ends_of_their_ranges(strategy, delta, r):
    weights = loss_weights(torch.tensor([0.1, 1.0, 2.5, 4.0]), LossParams(strategy=strategy, delta=delta, r=r))
    assert torch.isfinite(weights).all()
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("strategy", ["upper", "quadratic"])
def test_delta_cancels_where_the_formula_divides_by_it(strategy):
    losses = torch.tensor([0.1, 1.0, 2.5, 4.0])
    plain = loss_weights(losses, LossParams(strategy=strategy))
    for delta in (1e-25, 1e25):
        torch.testing.assert_close(loss_weights(losses, LossParams(strategy=strategy, delta=delta)), plain)


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


@pytest.mark.parametrize("scale", [1e36, 1e-30, 1.0])
def test_weights_of_any_size_are_normalised(scale):
    losses = _token_losses([1.0] * 8, [5] * 8)
    found = token_weights(torch.linspace(1, 2, 8) * scale, losses)
    torch.testing.assert_close(found, token_weights(torch.linspace(1, 2, 8), losses))
    twice = multiplied([torch.full((8, 5), scale), torch.full((8, 5), scale)], losses.mask)
    weights, nothing_left = normalised(twice, losses.mask)
    assert not bool(nothing_left)
    torch.testing.assert_close(weights, torch.ones(8, 5))


def test_a_weighters_answer_is_its_own_no_longer():
    losses = _token_losses([1.0, 2.0], [2, 2])
    mine = losses.values.clone()
    held, _ = answered(mine, losses)
    mine.zero_()
    assert (held[losses.mask] > 0).all()


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


VALUES = np.array([0.3, np.nan, 0.9, 0.1, 0.5], dtype=np.float32)


@pytest.mark.parametrize(
    ("asked", "count", "wanted"),
    [
        ({}, 2, [12, 14]),
        ({"take": "bottom"}, 2, [13, 10]),
        ({"take": "band", "low": 0.25, "high": 0.75}, 2, {10, 14}),
        ({"take": "band", "low": 0.5, "high": 0.75}, 9, {14}),
        ({"take": "threshold", "threshold": 0.3}, 9, {10, 12, 14}),
        ({"take": "threshold", "threshold": 2.0}, 9, set()),
        ({}, 9, [12, 14, 10, 13]),
    ],
)
def test_column_takes_what_its_parameters_say(asked, count, wanted):
    found = taken(np.arange(10, 15), VALUES, count, ColumnParams(**asked), derive(0)).tolist()
    assert (found if isinstance(wanted, list) else set(found)) == wanted
    assert len(found) == len(wanted)


def test_a_draw_by_column_is_uniform_and_afresh():
    asked = ColumnParams(take="threshold", threshold=0.2)
    counts = Counter(int(taken(np.arange(5), VALUES, 1, asked, derive(seed))[0]) for seed in range(600))
    assert counts.keys() == {0, 2, 4}
    assert min(counts.values()) > 150


def _context(**columns):
    return SetupContext(
        domains=DOMAINS,
        targets=(),
        total_steps=10,
        seed=0,
        columns={name: np.asarray(values) for name, values in columns.items()},
    )


def test_column_says_what_it_cannot_use():
    with pytest.raises(UsageError, match="asks for the column score"):
        ColumnSelector(ColumnParams()).setup(_context(quality=[1.0]))
    with pytest.raises(UsageError, match="kind holds no numbers"):
        ColumnSelector(ColumnParams(column="kind")).setup(_context(kind=np.array(["a"], dtype=object)))
    with pytest.raises(UsageError, match=r"the band from 0\.7 to 0\.66 is empty"):
        ColumnSelector(ColumnParams(take="band", low=0.7)).setup(_context(score=[1.0]))
    with pytest.raises(UsageError, match="nowhere does not exist"):
        ColumnSelector(ColumnParams(scores="nowhere")).setup(_context())
    request = _selection(np.arange(3), 2)
    with pytest.raises(UsageError, match="none of 3 candidates has a value of score"):
        _by_column([np.nan] * 3).choose(request, np.full(3, np.nan, dtype=np.float32))
    with pytest.raises(UsageError, match=r"score >= 5\.0") as error:
        _by_column([1, 2, 3], take="threshold", threshold=5.0).choose(request, np.ones(3, dtype=np.float32))
    assert error.value.hint == "lower the threshold: the highest value is 3"


def _by_column(values, **asked):
    selector = ColumnSelector(ColumnParams(**asked))
    selector.setup(_context(score=values))
    return selector


class _Alone:
    """Signals of one rank."""

    def shard(self, ids):
        return ids

    def gather(self, ids, shard, values):
        return values


@pytest.mark.parametrize(("asked", "wanted"), [({}, [0, 3]), ({"take": "bottom"}, [1, 2]), ({"take": "band"}, [2, 3])])
def test_columns_that_are_spread_are_gone_by_as_they_are_given(asked, wanted):
    selector = _by_column([1.0, 2.0, 3.0, 4.0, 5.0], **asked)
    given = np.array([9, -1, 0, 2, np.nan], dtype=np.float32)
    assert sorted(selector.choose(_selection(np.arange(5), 2), given).ids.tolist()) == wanted


@pytest.mark.parametrize("base", [1_700_000_000, 2**40, -(2**50)])
@pytest.mark.parametrize("asked", [{}, {"take": "bottom"}, {"take": "band", "low": 0.4, "high": 0.6}])
def test_columns_are_ranked_by_all_their_digits(base, asked):
    values = base + np.array([7, 50, 10, 60, 0])
    made = _by_column(values, **asked).select(replace(_selection(np.arange(5), 2), signals=_Alone()))
    wanted = {"top": [3, 1], "bottom": [4, 0], "band": [2]}[asked.get("take", "top")]
    assert made.ids.tolist() == wanted


def test_a_threshold_is_held_to_by_all_its_digits():
    values = 1_600_000_000 + np.array([7, 50, 10, 60, 0])
    selector = _by_column(values, take="threshold", threshold=1_600_000_045.0)
    made = selector.select(replace(_selection(np.arange(5), 5), signals=_Alone()))
    assert sorted(made.ids.tolist()) == [1, 3]


def test_column_looks_rows_up_once_and_notes_what_is_missing(tmp_path):
    path = tmp_path / "scores.parquet"
    rows = [(Row(dataset="a", file="x/a.json", row=number),) for number in range(1, 130)]
    part = Lines(
        ids=np.arange(100),
        scores={"score": np.arange(100, dtype=np.float32)},
        domains=["a"] * 100,
        rows=rows[:100],
        digests=[None] * 100,
    )
    write_scores(path, About(judge="signal losses"), [part])
    selector = ColumnSelector(ColumnParams(scores=str(path)))
    selector.setup(_context())
    asked = []

    class Signals:
        def shard(self, ids):
            return ids[::-1]

        def row(self, ids):
            asked.extend(ids.tolist())
            return [rows[i] for i in ids]

        def gather(self, ids, shard, values):
            return values[np.argsort(shard)]

    request = replace(_selection(np.arange(95, 105), 4), signals=Signals())
    for _ in range(2):
        made = selector.select(request)
        assert made.ids.tolist() == [99, 98, 97, 96]
        assert made.notes == {"missing": 5.0}
    assert sorted(asked) == list(range(95, 105))
    # As in a replay, which gives the scores that there were.
    again = ColumnSelector(ColumnParams(scores=str(path), take="threshold", threshold=98))
    again.setup(_context())
    assert sorted(again.choose(request, selector.scores(request)).ids.tolist()) == [98, 99]


# ------------------------------------------------------------------------------------- weighters: worked numbers


def test_upper_goes_up_with_the_loss_without_a_cap():
    weights = loss_weights(torch.tensor([0.5, 1, 2, 4]), LossParams(strategy="upper"))
    np.testing.assert_allclose(weights / 4, [0.156081, 0.18005, 0.239595, 0.424273], atol=1e-6)


def test_the_temperature_goes_from_its_start_to_its_end_in_a_straight_line():
    params = LossParams(r=1.0, r_start=5.0, r_steps=8)
    assert [temperature(params, steps) for steps in (0, 2, 4, 8, 100)] == [5.0, 4.0, 3.0, 1.0, 1.0]
    flat, sharp = (loss_weights(torch.tensor([0.5, 1, 2, 4]), params, r) for r in (5.0, 1.0))
    assert flat.std() < sharp.std()


@pytest.mark.parametrize("params", [{"r_start": 2.0}, {"r_steps": 5}])
def test_a_temperature_that_changes_says_from_what_and_in_how_many_steps(params):
    with pytest.raises(UsageError, match="r_start and r_steps"):
        LossWeighter(LossParams(**params)).setup(SetupContext(domains=DOMAINS, targets=(), total_steps=4, seed=0))


WEIGHINGS = {
    "rho-1": lambda: kept(torch.rand(4, 6), torch.rand(4, 6) > 0.3, 0.6),
    "loss": lambda: loss_weights(torch.rand(8), LossParams()),
    "adapt": lambda: adapt.log_weights(torch.rand(8, 5), torch.rand(3, 5), 0.1, 0.5),
    "joint-update": lambda: joint_update.weights(
        torch.eye(8), torch.rand(8), beta=0.1, tau=0.05, rho=0.5, iterations=20
    ),
}


@pytest.mark.parametrize("weigh", WEIGHINGS.values(), ids=WEIGHINGS)
def test_weighing_asks_the_device_for_no_value(weigh):
    with host_reads("dataflex_strategies") as found:
        weigh()
    assert found.places == []


def test_rho_1_keeps_the_largest_excesses_and_what_equals_the_last():
    excess = torch.tensor([[0.5, -0.2, 2, 0.1, 0.1]])
    everywhere = torch.ones_like(excess, dtype=torch.bool)
    assert kept(excess, everywhere, 0.6).tolist() == [[1, 0, 1, 1, 1]]
    assert kept(excess, everywhere, 0.2).tolist() == [[0, 0, 1, 0, 0]]
    assert kept(excess, torch.tensor([[True, True, False, False, False]]), 0.01).tolist() == [[1, 0, 0, 0, 0]]
    assert kept(excess, ~everywhere, 0.6).sum() == 0


@pytest.mark.parametrize("count", range(1, 30))
@pytest.mark.parametrize("keep", [0.1, 0.3, 0.6, 0.7, 1.0])
def test_rho_1_keeps_the_share_rounded_up_whatever_it_is_in_binary(count, keep):
    excess, tenths = torch.arange(float(count))[None], round(keep * 10)
    assert kept(excess, torch.ones_like(excess, dtype=torch.bool), keep).sum() == -(-tenths * count // 10)


def test_adapt_weighs_by_likeness_whatever_the_lengths():
    anchors = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    logs = adapt.log_weights(torch.tensor([[1.0, 0.0], [5.0, 5.0], [-1.0, 0.0]]), anchors, 0.5)
    expected = 1 / (1 + np.exp(-np.array([0.5, np.sqrt(0.5), -0.5]) / 0.5))
    np.testing.assert_allclose(logs.exp(), expected, atol=1e-6)
    clipped = adapt.log_weights(torch.tensor([[1.0, 0.0], [5.0, 5.0], [-1.0, 0.0]]), anchors, 0.5, 0.7)
    np.testing.assert_allclose(clipped.exp(), np.minimum(expected, 0.7), atol=1e-6)


@pytest.mark.parametrize("tau", [1e-2, 1e-3, 1e-40, 5e-324, 1e300])
@pytest.mark.parametrize("clip", [None, 1e-30])
@pytest.mark.parametrize("toward", [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
def test_adapt_tells_samples_apart_however_small_tau_is(tau, clip, toward):
    weigher = adapt.AdaptWeighter(adapt.AdaptParams(tau=tau, clip=clip))
    weigher.load_state_dict({"anchors": np.array([toward], dtype=np.float32)})
    losses = _token_losses([1.0] * 4, [2, 2, 2, 0])
    request = WeighRequest(
        progress=MOMENT,
        domains=DOMAINS,
        ids=torch.arange(4),
        rng=derive(0),
        embeddings=torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]]),
    )
    found = weigher.weigh(request, losses)
    assert torch.isfinite(found).all()
    assert found[:3].max() == 1, "what counts is not lost in rounding, whatever has no target token"
    assert torch.isfinite(token_weights(found, losses)).all()


def test_joint_update_finds_the_worked_balance():
    z, direction = torch.tensor([[1, 0], [0.8, 0.6], [0, 1.0]]), torch.tensor([0.6, 0.8])
    weights = joint_update.weights(z @ z.T, z @ direction, beta=0.1, tau=0.05, rho=0.5, iterations=200)
    np.testing.assert_allclose(weights, [0.001092, 0.924406, 0.074502], atol=1e-6)


@pytest.mark.parametrize(("beta", "tau", "rho"), [(0.1, 0.05, 1.0), (1.0, 0.05, 0.5), (2.0, 0.2, 1.0), (0.0, 1.0, 0.1)])
def test_joint_update_stands_still_where_it_ends(beta, tau, rho):
    z = unit(torch.from_numpy(derive(0, "joint").standard_normal((16, 4))))
    weights = joint_update.weights(z @ z.T, z @ z[0], beta=beta, tau=tau, rho=rho, iterations=400)
    np.testing.assert_allclose(weights, ((z @ z[0] - beta * z @ z.T @ weights) / tau).softmax(dim=0), atol=1e-5)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_what_repeats_itself_counts_less():
    z = unit(torch.tensor([[1.0, 0.2], [1.0, 0.2], [1.0, 0.2], [1.0, -0.2]]))
    weights = joint_update.weights(z @ z.T, z @ torch.tensor([1.0, 0.0]), beta=5.0, tau=0.5, rho=0.5, iterations=400)
    assert weights[3] > weights[0]
    np.testing.assert_allclose(weights[:3], weights[0].expand(3), atol=1e-6)
