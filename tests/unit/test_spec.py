"""spec.py: what a plugin declares about a strategy."""

import dataclasses

import pytest

from dataflex_core.errors import StrategyFault
from dataflex_core.spec import Kind, Need, StrategySpec, with_implied

COST = {Need.LOSSES: 1 / 3, Need.GRADIENTS: 1, Need.EMBEDDINGS: 1 / 3, Need.EXPERT_LOADS: 1 / 3, Need.GENERATIONS: 1}


def spec(**changes):
    fields = {"kind": Kind.SELECTOR, "name": "mine", "target": "mine.module:Mine", "summary": "does a thing"}
    return StrategySpec(**{**fields, **changes})


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_may_be_written_as_text(kind):
    assert spec(kind=str(kind)).kind is kind


@pytest.mark.numeric
@pytest.mark.parametrize("need", Need)
def test_a_need_may_be_written_as_text_and_has_a_declared_cost(need):
    made = spec(needs=[str(need)])
    assert made.needs == frozenset({need})
    assert made.cost == pytest.approx(COST.get(need, 0))


@pytest.mark.numeric
def test_costs_add_up_once_each():
    assert spec().cost == 0
    assert spec(needs=[*Need, *Need]).cost == pytest.approx(sum(COST.values()))


def test_a_spec_is_an_immutable_value():
    assert spec(needs=iter([Need.LOSSES])) == spec(needs={Need.LOSSES})
    assert len({spec(), spec(), spec(name="other")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().name = "other"


@pytest.mark.parametrize("name", ["a", "less", "delta-loss", "rho-1", "x2-3b"])
def test_good_names(name):
    assert spec(name=name).name == name


@pytest.mark.parametrize("name", ["", "Less", "1less", "-a", "a-", "a--b", "a_b", "a b", "a/b", "é", "a\n"])
def test_malformed_names_are_refused(name):
    with pytest.raises(StrategyFault, match="malformed"):
        spec(name=name)


@pytest.mark.parametrize("field", ["target", "params"])
@pytest.mark.parametrize("text", ["", "module", "module:", ":Name", "module.Name", "a b:C", "a:b:C", "a:B.C", "1a:B"])
def test_malformed_targets_are_refused(field, text):
    with pytest.raises(StrategyFault, match="malformed"):
        spec(**{field: text})


@pytest.mark.parametrize("text", ["module:Name", "_a.b2:_C", "a.b.c:d"])
def test_good_targets(text):
    made = spec(target=text, params=text)
    assert (made.target, made.params) == (text, text)


@pytest.mark.parametrize("name", ["none", "null"])
def test_what_switches_a_strategy_off_is_no_name(name):
    with pytest.raises(StrategyFault, match="asks for no strategy"):
        spec(name=name)


@pytest.mark.parametrize("summary", ["", "  ", "\n", "two\nlines"])
def test_a_summary_that_is_not_one_line_is_refused(summary):
    with pytest.raises(StrategyFault, match="summary"):
        spec(summary=summary)


@pytest.mark.parametrize(
    "changes", [{"kind": "selecter"}, {"needs": ["gradient"]}, {"needs": "losses"}], ids=["kind", "need", "bare text"]
)
def test_an_unknown_kind_or_need_is_a_strategy_fault(changes):
    with pytest.raises(StrategyFault):
        spec(**changes)


@pytest.mark.parametrize(
    ("kind", "needs", "observes", "implied"),
    [
        (Kind.WEIGHTER, set(), False, True),
        (Kind.SELECTOR, {Need.LOSSES}, False, False),
        (Kind.SELECTOR, {Need.LOSSES}, True, True),
        (Kind.MIXER, {Need.LOSS_WEIGHTS}, False, True),
        (Kind.SELECTOR, {Need.REFERENCE_LOSSES}, False, True),
    ],
)
def test_training_losses_follow_from_what_takes_them(kind, needs, observes, implied):
    assert with_implied(kind, needs, observes=observes) == needs | ({Need.TRAINING_LOSSES} if implied else set())
