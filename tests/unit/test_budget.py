"""budget.py: what a decision and a step cost, and what is refused once the data is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, Mixer, ReferenceModel, ScoringSelector, Selection, Selector, Weighter
from dataflex_core.catalog import Record
from dataflex_core.config.section import DataflexConfig, RunConfig
from dataflex_core.domains import Domain
from dataflex_core.errors import DataError, InvalidConfig, StrategyFault, UnmetNeed
from dataflex_core.planning.budget import Budget, budget_of, cost_of_decision
from dataflex_core.prepared import PreparedRun, Slot, choose
from dataflex_core.spec import FORWARD, Kind, Need, StrategySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of the strategies here."""

    reference_model: Annotated[ReferenceModel | None, Doc("trained elsewhere")] = None
    price: float = 0.5


class Choosing(Selector[Params]):
    """Takes the first."""

    def select(self, request: Any) -> Selection:
        return Selection(ids=request.candidates[: request.count])


class Scoring(ScoringSelector[Params]):
    """Scores by the loss."""

    def score(self, request: Any, shard: Any) -> Any:
        return request.signals.losses(shard)


class Weighing(Weighter[Params]):
    """Weighs nothing."""

    def weigh(self, request: Any, losses: Any) -> Any:
        return losses.values.new_ones(len(losses.values))


def price(params: Params, request: CostRequest) -> float:
    return params.price / request.decision


def every_other(params: Params, request: CostRequest) -> Cost:
    return Cost(candidate=0.5, target=0.5 if request.decision % 2 else 0.0)


def more_needs(params: Params) -> set[Need]:
    return {Need.TARGET_SET} if params.reference_model is not None else set()


def _prepared(
    kind: Kind, params: Params | None = None, config: dict[str, Any] | None = None, scores: bool = False, **spec: Any
):
    selector = "Scoring" if scores else "Choosing"
    target = f"{__name__}:{selector if kind is Kind.SELECTOR else 'Weighing'}"
    made = StrategySpec(kind=kind, name="mine", target=target, summary="does it", **spec)
    chosen = choose(Record(spec=made, distribution="d", version="1"), params or Params())
    section = DataflexConfig(**{"warmup_steps": 0, "update_steps": 2, **(config or {})})
    return PreparedRun(config=RunConfig(args={}, dataflex=section), strategies={Slot(kind): chosen})


def _budget(
    prepared: PreparedRun,
    *,
    global_batch: int = 4,
    micro_batches: int = 1,
    max_steps: int = 10,
    drop_last: bool = False,
    pool: int = 100,
    **targets: int,
) -> Budget:
    return budget_of(
        prepared,
        domains=[Domain(name="words", start=0, size=pool)],
        targets=targets,
        global_batch=global_batch,
        micro_batches=micro_batches,
        max_steps=max_steps,
        epochs=1.0,
        drop_last=drop_last,
    )


def test_what_has_no_effect_is_refused_nowhere():
    """A weighter alone has its data in one piece, of no name that anybody wrote."""
    weighing = _prepared(Kind.WEIGHTER, config={"warmup_proportions": {"wiki": 1.0, "code": 2.0}})
    assert _budget(weighing).domains[0].name == "words"
    choosing = _prepared(Kind.SELECTOR, config={"warmup_proportions": {"wiki": 1.0, "code": 2.0}})
    with pytest.raises(InvalidConfig, match="warmup_proportions and the domains differ"):
        _budget(choosing)


@pytest.mark.numeric
@pytest.mark.parametrize(("reference", "forwards"), [(None, 1), ("elsewhere", 2)])
def test_a_selection_budget_pays_for_the_reference_model_too(reference, forwards):
    params = Params(reference_model=reference)
    budget = _budget(_prepared(Kind.SELECTOR, params, {"selection_budget": 2.0}, needs={Need.LOSSES}))
    trained = 2 * 4
    assert budget.decision_cost * 4 == pytest.approx(budget.judged * forwards * FORWARD)
    assert budget.decision_cost * 4 <= 2.0 * trained + forwards * FORWARD, "not overspent, but for rounding up"
    assert budget.judged == trained * 2 * 3 / forwards


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("spec", "config", "judged", "exact", "cost"),
    [
        ({}, {"selection_budget": 3.0}, 1000, None, 1000),
        ({}, {"selection_budget": 1.0}, 1000, 600, 600),
        ({}, {"selection_budget": 0.15}, 1000, 90, 90),
        ({}, {"selection_budget": 1.0, "exact": 0.5}, 1000, 100, 100),
        ({}, {"selection_budget": 0.15, "exact": 0.5}, 1000, 90, 90),
        ({"predictable": False}, {"selection_budget": 1.0}, 600, None, 600),
        ({"needs": {Need.LOSSES, Need.TARGET_SET}}, {"selection_budget": 1.0}, 1000, 500, 600),
    ],
)
def test_a_selection_budget_scores_fewer_before_it_judges_fewer(spec, config, judged, exact, cost):
    """Of 200 chosen from 1,000: a loss is a third of a step, so that a budget of 1 pays for 600 losses."""
    prepared = _prepared(Kind.SELECTOR, None, {"update_steps": 50, **config}, True, **{"needs": {Need.LOSSES}, **spec})
    targets = {"held": 100} if Need.TARGET_SET in prepared.strategies[Slot(Kind.SELECTOR)].needs else {}
    found = _budget(prepared, global_batch=4, max_steps=50, pool=1000, **targets)
    assert (found.judged, found.exact) == (judged, exact)
    assert found.decision_cost * found.global_batch == pytest.approx(cost * FORWARD)


@pytest.mark.numeric
def test_candidates_are_as_many_as_their_decimals_say():
    prepared = _prepared(Kind.SELECTOR, None, {"update_steps": 25, "candidates": 1.1}, needs={Need.LOSSES})
    assert _budget(prepared, global_batch=4, max_steps=25, pool=1000).judged == 110


def test_a_selection_budget_under_the_fewest_scores_is_refused_and_the_hint_is_enough():
    def budget(share: float) -> Budget:
        config = {"update_steps": 100, "selection_budget": share}
        return _budget(_prepared(Kind.SELECTOR, None, config, True, needs={Need.GRADIENTS}), max_steps=100, pool=1000)

    with pytest.raises(InvalidConfig, match="does not pay") as raised:
        budget(0.05)
    assert raised.value.hint is not None
    assert "at least 0.10" in raised.value.hint
    assert budget(0.1).exact == 40, "a tenth of the 400 chosen"


def test_a_strategy_reckons_its_own_cost_by_its_parameters_and_the_decision():
    prepared = _prepared(Kind.SELECTOR, Params(price=0.25), needs={Need.LOSSES}, cost_of=f"{__name__}:price")
    (chosen,) = prepared.strategies.values()
    assert [chosen.cost(1), chosen.cost(2)] == [0.25, 0.125]
    assert _budget(prepared).decision_cost == 100 * 0.25 / 4, "the first decision's: the dearest"


@pytest.mark.parametrize("cost", [-3.0, float("inf"), float("nan")])
def test_a_cost_that_is_none_is_the_strategys_fault(cost):
    prepared = _prepared(Kind.SELECTOR, Params(price=cost), cost_of=f"{__name__}:price")
    with pytest.raises(StrategyFault, match=rf"mine .*, asked what it costs: it gives {cost} for candidate, at .*:\d+"):
        _budget(prepared)


def test_a_sample_of_the_target_set_may_cost_something_else():
    declared = {"needs": {Need.TARGET_SET}, "cost_of": f"{__name__}:dear"}
    params, targets = Params(price=0.25), {"held": 8, "more": 4}
    assert _budget(_prepared(Kind.SELECTOR, params, **declared), **targets).decision_cost == (100 * 0.25 + 12 * 3) / 4
    bounded = _prepared(Kind.SELECTOR, params, {"selection_budget": 6.0}, **declared)
    assert _budget(bounded, **targets).judged == (6 * 8 - 36) / 0.25


def dear(params: Params, request: CostRequest) -> Cost:
    return Cost(candidate=params.price, target=3.0)


@pytest.mark.numeric
def test_the_target_sets_pass_is_reckoned_by_how_often_it_is_made():
    needs = {Need.GRADIENTS, Need.TARGET_SET}
    prepared = _prepared(Kind.SELECTOR, config={"updates": 4}, needs=needs, cost_of=f"{__name__}:every_other")
    budget, (chosen,) = _budget(prepared, exam=40), prepared.strategies.values()
    judging = 100 * 0.5 + 40 * 0.25
    assert budget.decision_cost == pytest.approx((judging + judging // 10) / 4), "a tenth goes to saying why"
    costs = [cost_of_decision(chosen, budget, decision=decision, judged=100) for decision in (1, 2)]
    assert costs == pytest.approx([(100 * 0.5 + 40 * 0.5) / 4, 100 * 0.5 / 4])


@pytest.mark.parametrize(("features", "cost"), [("tokens", 0), ("start", 100 * FORWARD / 4)])
def test_features_cost_a_pass_over_the_pool_once(features, cost):
    config = {"exact": 0.5, "features": features}
    assert _budget(_prepared(Kind.SELECTOR, config=config, scores=True, needs={Need.LOSSES})).features_cost == cost
    assert _budget(_prepared(Kind.SELECTOR, config={"features": features})).features_cost == 0


def test_needs_that_parameters_add_are_checked():
    def run(params: Params) -> Budget:
        return _budget(_prepared(Kind.SELECTOR, params, needs_for=f"{__name__}:more_needs"))

    assert run(Params()).judged == 100
    with pytest.raises(UnmetNeed, match="selector mine needs a target set"):
        run(Params(reference_model="elsewhere"))


@pytest.mark.parametrize(
    ("config", "key"), [({"candidates": 4.0}, "candidates"), ({"selection_budget": 1.0}, "selection_budget")]
)
def test_a_part_of_the_pool_is_not_enough_for_a_selector_of_the_whole(config, key):
    with pytest.raises(InvalidConfig, match="has to be given the whole pool of 100 samples") as raised:
        _budget(_prepared(Kind.SELECTOR, config=config, needs={Need.LOSSES}, whole_pool=True))
    assert raised.value.key == ("dataflex", key)
    assert _budget(_prepared(Kind.SELECTOR, needs={Need.LOSSES}, whole_pool=True)).judged == 100


def test_a_sample_alone_cannot_be_compared():
    with pytest.raises(UnmetNeed, match="weighter mine compares the samples of an optimizer step, and a step has one"):
        _budget(_prepared(Kind.WEIGHTER), global_batch=1)
    assert _budget(_prepared(Kind.WEIGHTER, compares=False), global_batch=1).step_cost == 0


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("spec", "micro_batches", "forwards"),
    [
        ({}, 1, 0),
        ({}, 2, 1),
        ({"compares": False}, 2, 0),
        ({"needs": {Need.REFERENCE_LOSSES}}, 1, 1),
        ({"needs": {Need.REFERENCE_LOSSES}}, 2, 2),
    ],
)
def test_what_weighing_adds_to_a_step(spec, micro_batches, forwards):
    budget = _budget(_prepared(Kind.WEIGHTER, Params(reference_model="base"), **spec), micro_batches=micro_batches)
    assert budget.step_cost == pytest.approx(forwards * FORWARD)


@pytest.mark.parametrize(
    ("kind", "micro_batches", "drop_last", "steps"),
    [
        (Kind.WEIGHTER, 1, False, 4),
        (Kind.WEIGHTER, 1, True, 3),
        (Kind.WEIGHTER, 2, True, 3),
        (Kind.WEIGHTER, 16, True, 4),  # 50 micro-batches of two: the last step has two of sixteen
        (Kind.SELECTOR, 1, True, 4),
    ],
)
def test_an_epoch_without_its_last_batch(kind, micro_batches, drop_last, steps):
    batch = 32
    budget = _budget(
        _prepared(kind), global_batch=batch, micro_batches=micro_batches, max_steps=-1, drop_last=drop_last
    )
    assert budget.schedule.total_steps == steps


def test_an_epoch_of_no_batch_at_all():
    with pytest.raises(DataError, match="dataloader_drop_last leaves none of 100 samples"):
        _budget(_prepared(Kind.WEIGHTER), global_batch=128, max_steps=-1, drop_last=True)


@pytest.mark.parametrize("key", ["warmup_steps", "update_steps"])
def test_an_interval_that_does_not_fit_into_memory(key):
    steps = {"updates": 1, key: 10**10}
    prepared = _prepared(Kind.SELECTOR, config=steps)
    with pytest.raises(InvalidConfig, match=f"dataflex.{key} is 10000000000") as raised:
        _budget(prepared)
    assert raised.value.key == ("dataflex", key)


@pytest.mark.parametrize(
    ("scores", "predictable", "exact", "said"),
    [
        (True, True, 32, []),
        (True, False, None, ["its scores cannot be predicted"]),
        (False, True, None, ["it does not score samples one by one"]),
    ],
)
def test_scores_are_predicted_where_there_are_some_and_the_run_says_where_not(scores, predictable, exact, said):
    config = {"exact": 0.25, "candidates": "all"}
    prepared = _prepared(Kind.SELECTOR, config=config, predictable=predictable, scores=scores)
    assert _budget(prepared).exact == exact
    assert (_budget(prepared).probing is not None) == (exact is not None)
    remarks = list(prepared.remarks())
    assert [why in str(remark) for why, remark in zip(said, remarks, strict=True)] == [True] * len(said)


def mixing(**spec):
    """A mixer over two domains, of each of which three samples are held out, with a target set of five."""
    made = StrategySpec(kind=Kind.MIXER, name="mine", target=f"{__name__}:Mixing", summary="mixes", **spec)
    chosen = choose(Record(spec=made, distribution="d", version="1"), Params(price=0.5))
    config = RunConfig(args={}, dataflex=DataflexConfig(warmup_steps=0, update_steps=2))
    return budget_of(
        PreparedRun(config=config, strategies={Slot(Kind.MIXER): chosen}),
        domains=[Domain(name="words", start=0, size=50), Domain(name="code", start=50, size=50)],
        targets={"held": 5},
        holdout={"words": 3, "code": 3},
        global_batch=4,
        micro_batches=1,
        max_steps=10,
        epochs=1.0,
    )


class Mixing(Mixer):
    def mix(self, request):
        return [1.0, 1.0]


def probing(params: Params, request: CostRequest) -> Cost:
    return Cost(candidate=0.0, target=params.price, decision=10 * request.domains)


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        ({}, 0),
        ({"needs": {Need.LOSSES}}, 0),
        ({"needs": {Need.LOSSES, Need.HOLDOUT}}, 6 * FORWARD),
        ({"needs": {Need.LOSSES, Need.TARGET_SET}}, 5 * FORWARD),
        ({"needs": {Need.GRADIENTS, Need.TARGET_SET}, "cost_of": f"{__name__}:probing"}, 5 * 0.5 + 2 * 10),
    ],
)
def test_what_a_mixer_asks_at_a_decision_is_reckoned(spec, cost):
    budget = mixing(**spec)
    assert budget.mixing_cost == pytest.approx(cost / 4)
    assert budget.decision_cost == 0, "that is a selector's"
    assert budget.holdout == (("words", 3), ("code", 3))
