"""strategy_faults.py and contract_check.py: a strategy's own faults name it, the moment and the line."""

from __future__ import annotations

import abc
import asyncio
import functools
import importlib
import inspect
from pathlib import Path

import pytest

from dataflex_core import Kind, Mixer, ScoringSelector, Selection, Selector, StrategySpec, Weighter
from dataflex_core.catalog import Record
from dataflex_core.contract_check import what_does_not_fit
from dataflex_core.errors import DataError, Interrupted, StrategyFault
from dataflex_core.prepared import choose, make_strategy
from dataflex_core.strategy_faults import answered_at, named

HERE = Path(__file__).name
TITLE, OTHER = "selector mine (mine.py 1)", "mixer theirs (theirs 2)"


class Raising:
    """Raises what it is made with, from a helper of its own file."""

    def __init__(self, error):
        self.error = error

    def ask(self):
        return helper(self.error)


def helper(error):
    raise error  # the line that is named


LINE = inspect.getsourcelines(helper)[1] + 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (KeyError("a"), "KeyError: 'a'"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (AssertionError(), "AssertionError"),
        (NotImplementedError(), "NotImplementedError"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(), "StopIteration"),
        (asyncio.CancelledError(), "CancelledError"),
        (BaseException("of a library"), "BaseException: of a library"),
        (MemoryError(), "MemoryError"),
        (StrategyFault("there is no pooling 'x'", hint="use mean"), "there is no pooling 'x'"),
    ],
)
def test_what_a_strategy_raises_names_it_the_moment_and_the_line(error, said):
    made = Raising(error)
    with pytest.raises(StrategyFault) as caught:
        _ask({TITLE: made, OTHER: Raising(error)}, made)
    assert caught.value.message.startswith(f"{TITLE}, step 4: {said}, at ")
    assert caught.value.message.endswith(f"{HERE}:{LINE}")
    assert caught.value.__cause__ is error
    assert caught.value.hint


def _ask(strategies, made):
    # Not in the test itself: a StopIteration would be taken for that of its context manager.
    with named(strategies, "step 4"):
        made.ask()


@pytest.mark.parametrize(
    "error", [DataError("too few"), Interrupted("asked to"), KeyboardInterrupt(), StrategyFault(f"{TITLE}: known")]
)
def test_what_is_no_fault_of_its_own_comes_through(error):
    made = Raising(error)
    with pytest.raises(type(error)) as caught:
        _ask({TITLE: made}, made)
    assert caught.value is error


def test_of_several_strategies_none_is_blamed_that_was_not_asked():
    error = OSError("somebody else's")
    with pytest.raises(OSError, match="somebody else's") as caught, named({TITLE: Raising(error), OTHER: 3}, "step 1"):
        raise error
    assert caught.value is error


class Fits(Selector):
    def select(self, request, *, more=None):
        return Selection(ids=request.candidates)


class FitsByWrapping(Selector):
    @functools.cache  # noqa: B019  # what is tried is a method that is no function
    def select(self, request):
        return Selection(ids=request.candidates)


class Lacks(Selector):
    pass


class LacksTwo(Lacks):
    @abc.abstractmethod
    def mine(self):
        """Never written."""


class TakesNothing(Selector):
    def select(self):
        return None


class WantsMore(Mixer):
    def mix(self, request, temperature):
        return request.previous


class IsNoMethod(Mixer):
    mix = [1.0, 1.0]  # noqa: RUF012  # what is tried


class IsNone(Weighter):
    weigh = None


class IsProperty(Mixer):
    @property
    def mix(self):
        return [1.0]


class Yields(Selector):
    def select(self, request):
        yield Selection(ids=request.candidates)


class Waits(Selector):
    async def select(self, request):
        return Selection(ids=request.candidates)


class OfOneLoss(Weighter):
    def weigh(self, losses):
        return losses.values


class SetsUpNothing(Fits):
    def setup(self):
        """Take no context."""


class ObservesTwo(Fits):
    def observe(self, step, losses):
        """Want more than there is."""


class TakesNoParameters(Fits):
    def __init__(self):
        super().__init__(None)


class ScoresWithoutShard(ScoringSelector):
    def score(self, request):
        return []


class ChoosesItself(ScoringSelector):
    def score(self, request, shard):
        return shard

    def select(self, request):
        return Selection(ids=request.candidates)


class Static(Selector):
    @staticmethod
    def select(request):
        return Selection(ids=request.candidates)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Fits, None),
        (FitsByWrapping, None),
        (Static, None),
        (Lacks, "lacks select()"),
        (LacksTwo, "lacks mine, select()"),
        (TakesNothing, "defines select(), which cannot be called as select(request)"),
        (
            WantsMore,
            "defines mix(), which cannot be called as mix(request): missing a required argument: 'temperature'",
        ),
        (IsNoMethod, "defines mix, which is no method"),
        (IsNone, "defines weigh, which is no method"),
        (IsProperty, "defines mix, which is no method"),
        (Yields, "defines select(), which yields"),
        (Waits, "defines select(), which is async"),
        (OfOneLoss, "defines weigh(), which cannot be called as weigh(request, losses)"),
        (SetsUpNothing, "defines setup(), which cannot be called as setup(context)"),
        (ObservesTwo, "defines observe(), which cannot be called as observe(step)"),
        (TakesNoParameters, "defines __init__(), which cannot be called as __init__(params)"),
        (ScoresWithoutShard, "defines score(), which cannot be called as score(request, shard)"),
        (ChoosesItself, "overrides select(), which ScoringSelector does not let it"),
    ],
)
def test_a_class_that_does_not_fit_is_seen_without_asking_it(kind, wrong):
    contract = next(base for base in (Selector, Mixer, Weighter) if issubclass(kind, base))
    found = what_does_not_fit(kind, contract)
    assert found == wrong if wrong is None else (found or "").startswith(wrong)


class CannotBeBuilt(Fits):
    def __init__(self, params):
        super().__init__(params)
        self.table = {}["none"]


def costs(params, request):
    return 1 / (request.decision - 1)


def needs(params):
    return ["patience"]


def _record(kind, **more):
    target = f"{__name__}:{kind.__name__}"
    spec = StrategySpec(kind=Kind.SELECTOR, name="mine", target=target, summary="does it", **more)
    return Record(spec=spec, distribution="mine", version="1")


def test_a_strategy_that_does_not_fit_or_cannot_be_built_is_named_with_its_line():
    with pytest.raises(StrategyFault, match=rf"selector mine \(mine 1\): Lacks lacks select\(\), at .*{HERE}:\d+"):
        choose(_record(Lacks), None)
    chosen = choose(_record(CannotBeBuilt), None)
    with pytest.raises(StrategyFault, match=rf"\(mine 1\), as it is built: KeyError: 'none', at .*{HERE}:\d+"):
        make_strategy(chosen)


def test_functions_of_a_declaration_are_named_likewise():
    with pytest.raises(StrategyFault, match=rf"asked what it needs: ValueError: .*'patience'.*, at .*{HERE}:\d+"):
        choose(_record(Fits, needs_for=f"{__name__}:needs"), None)
    with pytest.raises(StrategyFault, match=rf"what it costs: ZeroDivisionError: .*, at .*{HERE}:\d+"):
        choose(_record(Fits, cost_of=f"{__name__}:costs"), None).cost()


def test_what_an_inherited_method_raises_is_at_its_line(tmp_path, monkeypatch):
    (tmp_path / "elders.py").write_text("class Elder:\n    def ask(self):\n        return 1 / self.ratio\n")
    (tmp_path / "heirs.py").write_text("import elders\n\nclass Heir(elders.Elder):\n    ratio = 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("heirs").Heir()
    with pytest.raises(StrategyFault, match=r"ZeroDivisionError: .*, at .*elders\.py:3 "):
        _ask({TITLE: made}, made)


def test_the_place_of_a_method_is_the_authors_own_beneath_its_wrappers():
    def own(self):
        return None

    def wrapper(self):
        return own(self)

    wrapped = type("Wrapped", (), {"ask": functools.wraps(own)(wrapper)})()
    assert answered_at(wrapped, "ask").endswith(f"{HERE}:{inspect.getsourcelines(own)[1]}")
    assert answered_at(wrapped, "none") == ", in none()"
