"""params.py: parameters described as text, and validated with every fault at once."""

from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf
from pydantic import AfterValidator, Field
from typing_extensions import Doc

from dataflex_core.config.params import NoParams, Parameter, adapter, describe, examine, restored, validate
from dataflex_core.errors import InvalidParameters, StrategyFault, UnmetNeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    count: Annotated[int, Gt(0), Le(10), Doc("how many")]
    focus: Literal["high", "low"] = "high"
    scale: Annotated[float, Interval(ge=0, lt=2)] = 0.5
    layers: list[int] = field(default_factory=lambda: [1, 2])
    limit: int | None = None
    hidden: int = field(default=7, init=False)


@dataclass
class Checked:
    low: int = 0
    high: int = 1

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("Low is above high")


@dataclass
class Speechless:
    def __post_init__(self):
        raise ValueError


def described(hint, **default):
    made = type("Made", (), {"__annotations__": {"x": hint}, **({"x": field(**default)} if default else {})})
    (found,) = describe(dataclass(made))
    return found


# -------------------------------------------------------------------------------------------------------- describe


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (bool, "bool"),
        (Any, "Any"),
        (Literal["all"], "'all'"),
        (Literal["high", "low", 3], "'high' | 'low' | 3"),
        (int | None, "int | null"),
        (Optional[int], "int | null"),  # noqa: UP045
        (Literal["all"] | float, "'all' | float"),
        (Literal["all"] | Annotated[float, Ge(1)], "'all' | float"),
        (list[int], "list[int]"),
        (dict[str, Annotated[float, Ge(0)]], "dict[str, float]"),
        (list[Literal["a", "b"]] | None, "list['a' | 'b'] | null"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[int, Gt(0)], "int"),
    ],
)
def test_types_are_described(hint, text):
    assert described(hint).type == text


@pytest.mark.parametrize(
    ("constraint", "texts"),
    [
        (Gt(0), ("> 0",)),
        (Ge(0.5), (">= 0.5",)),
        (Lt(3), ("< 3",)),
        (Le(1), ("<= 1",)),
        (Interval(gt=0, le=1), ("> 0", "<= 1")),
        (MinLen(1), ("at least 1 items",)),
        (MaxLen(4), ("at most 4 items",)),
        (Len(1, 4), ("at least 1 items", "at most 4 items")),
        (MultipleOf(8), ("a multiple of 8",)),
        (Doc("no constraint"), ()),
    ],
)
def test_constraints_are_described(constraint, texts):
    assert described(Annotated[Any, constraint]).constraints == texts


@pytest.mark.parametrize(
    ("default", "value", "required"),
    [
        ({}, None, True),
        ({"default": None}, None, False),
        ({"default": 3}, 3, False),
        ({"default_factory": list}, [], False),
        ({"default_factory": lambda: {"a": 1}}, {"a": 1}, False),
    ],
)
def test_defaults_are_described(default, value, required):
    found = described(Any, **default)
    assert (found.default, found.required) == (value, required)


def test_parameters_are_described_in_order_without_those_nobody_may_set():
    first, *others = describe(Params)
    assert first == Parameter(
        name="count", type="int", default=None, required=True, constraints=("> 0", "<= 10"), help="how many"
    )
    assert [(p.name, p.default, p.required, p.help) for p in others] == [
        ("focus", "high", False, ""),
        ("scale", 0.5, False, ""),
        ("layers", [1, 2], False, ""),
        ("limit", None, False, ""),
    ]


@pytest.mark.parametrize("params", [None, NoParams])
def test_no_parameters_are_described_as_none(params):
    assert describe(params) == ()


@pytest.mark.parametrize("params", [dict, object])
def test_parameters_that_are_no_dataclass_are_a_fault(params):
    with pytest.raises(StrategyFault, match="no dataclass"):
        describe(params)


def test_a_default_that_cannot_be_made_is_a_fault_with_its_line():
    made = make_dataclass("Made", [("share", float, field(default_factory=lambda: fails("x")))])
    made.__module__ = __name__
    with pytest.raises(StrategyFault, match=r"Made of .* makes no default of share: KeyError: 'x'") as caught:
        describe(made)
    assert "test_params.py:" in caught.value.hint


# -------------------------------------------------------------------------------------------------------- validate


def test_good_values_make_an_instance():
    assert validate(Params, {"count": 3, "limit": 4}, owner="selector mine") == Params(count=3, limit=4)
    assert isinstance(validate(None, {}, owner="selector mine"), NoParams)


def refused(params, values):
    with pytest.raises(InvalidParameters) as caught:
        validate(params, values, owner="selector mine")
    assert caught.value.message.startswith("selector mine: ")
    assert caught.value.hint == "see: dataflex describe mine"
    assert "\n" not in caught.value.message
    return caught.value.message.removeprefix("selector mine: ").split("; ")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "count is required"),
        ({"count": 0}, "count=0: input should be greater than 0"),
        ({"count": 11}, "count=11: input should be less than or equal to 10"),
        ({"count": "many"}, "count='many': input should be a valid integer"),
        ({"count": 1.5}, "count=1.5: input should be a valid integer"),
        ({"count": None}, "count=None: input should be a valid integer"),
        ({"count": 1, "focus": "middle"}, "focus='middle': input should be 'high' or 'low'"),
        ({"count": 1, "scale": 2}, "scale=2: input should be less than 2"),
        ({"count": 1, "scale": float("nan")}, "scale=nan: input should be "),
        ({"count": 1, "layers": [1, "x"]}, "layers.1='x': input should be a valid integer"),
        ({"count": 1, "limit": "x"}, "limit='x': input should be a valid integer"),
        ({"count": 1, "fokus": "low"}, "no parameter 'fokus' (did you mean 'focus'?)"),
        ({"count": 1, "zzz": 1}, "no parameter 'zzz' (known: count, focus, layers, limit, scale)"),
        ({"count": 1, "hidden": 1}, "no parameter 'hidden'"),
    ],
)
def test_a_fault_names_the_parameter_the_value_and_the_rule(values, fault):
    (found,) = refused(Params, values)
    assert found.startswith(fault)


def test_every_fault_is_in_one_error():
    found = refused(Params, {"fokus": 1, "focus": "x", "scale": -1, "layers": 3, "other": 1})
    starts = ["no parameter 'fokus'", "no parameter 'other'", "count is required", "focus='x'", "scale=-1", "layers=3"]
    assert [next(s for s in starts if f.startswith(s)) for f in found] == starts


def test_a_strategy_without_parameters_refuses_any():
    assert refused(None, {"k": 1}) == ["no parameter 'k' (there are none)"]


def test_a_value_that_fits_no_arm_of_a_union_is_one_fault_under_the_parameters_own_name():
    @dataclass
    class Either:
        k: Literal["all"] | float = "all"

    (found,) = refused(Either, {"k": "some"})
    assert found.startswith("k='some': ")


@pytest.mark.parametrize(
    ("params", "values", "fault"),
    [(Checked, {"low": 2}, "low is above high"), (Speechless, {}, "")],
    ids=["with a message", "without"],
)
def test_what_a_dataclass_checks_itself_is_a_fault(params, values, fault):
    assert refused(params, values) == [fault]


@dataclass(frozen=True)
class Schedule:
    start: float = 1.0
    end: Annotated[float, Field(alias="until")] = 2.0
    after: "Schedule | None" = None


@dataclass
class Nested:
    one: Schedule = Schedule()
    several: list[Schedule] = field(default_factory=list)
    by_name: dict[str, Schedule] = field(default_factory=dict)
    either: Checked | Schedule | None = None
    at_will: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"one": {"strat": 5}}, "no parameter 'one.strat' (did you mean 'start'?)"),
        ({"one": {"after": {"zzz": 5}}}, "no parameter 'one.after.zzz' (known: after, end, start, until)"),
        ({"several": [{}, {"strat": 5}]}, "no parameter 'several.1.strat' (did you mean 'start'?)"),
        ({"by_name": {"a": {"strat": 5}}}, "no parameter 'by_name.a.strat' (did you mean 'start'?)"),
        ({"either": {"high": 3, "lo": 1}}, "no parameter 'either.lo' (did you mean 'low'?)"),
    ],
)
def test_a_misspelt_key_of_a_parameter_is_a_fault_of_that_parameter(values, fault):
    assert refused(Nested, values) == [fault]
    assert [key for key, _ in examine(Nested, values, owner="selector mine")[1]] == list(values)


def test_what_a_parameter_has_may_be_given():
    several = [{"start": 2, "until": 3}, Schedule(4)]
    made = validate(Nested, {"several": several, "at_will": {"strat": 5}, "either": {"low": 0}}, owner="selector mine")
    assert made == Nested(several=[Schedule(2, 3), Schedule(4)], at_will={"strat": 5}, either=Checked(0))


def fails(value):
    return {}[value]


@dataclass
class Failing:
    name: Annotated[str, AfterValidator(fails)] = ""
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if self.shares:
            self.first = self.shares["first"]
        if "none" in self.shares:
            raise UnmetNeed("there is none", hint="give one")


@pytest.mark.parametrize(
    ("values", "said"), [({"name": "x"}, "KeyError: 'x'"), ({"shares": {"a": 1}}, "KeyError: 'first'")]
)
def test_a_check_of_an_author_that_fails_of_itself_is_a_fault_with_its_line(values, said):
    with pytest.raises(StrategyFault) as caught:
        validate(Failing, values, owner="selector mine")
    assert caught.value.message.startswith(f"selector mine, as its parameters are checked: {said}, at ")
    assert "test_params.py:" in caught.value.message
    assert caught.value.hint


def test_an_error_of_dataflex_that_an_author_raises_comes_through():
    with pytest.raises(UnmetNeed, match="there is none"):
        validate(Failing, {"shares": {"first": 1, "none": 1}}, owner="selector mine")


class Unknown:
    pass


Odd = make_dataclass("Odd", [("k", Unknown | None, None)])
Nowhere = make_dataclass("Nowhere", [("k", "NoSuchName | None", None)])


@pytest.mark.parametrize("use", [lambda params: validate(params, {}, owner="selector x"), adapter])
@pytest.mark.parametrize("params", [Odd, Nowhere], ids=lambda params: params.__name__)
def test_types_that_nothing_fits_are_a_fault_of_the_strategy(params, use):
    with pytest.raises(StrategyFault, match=f"{params.__name__} of .* no use for parameters") as caught:
        use(params)
    assert "\n" not in caught.value.message


def test_a_type_that_is_not_known_cannot_be_described():
    with pytest.raises(StrategyFault, match="'NoSuchName' is not defined"):
        describe(Nowhere)


# -------------------------------------------------------------------------------------------------------- restored


def test_what_a_journal_holds_of_parameters_another_version_may_refuse():
    with pytest.raises(InvalidParameters, match=r"selector mine: no parameter 'fokus' \(did you mean 'focus'\?\)"):
        restored(Params, {"count": 3, "fokus": "low"}, owner="selector mine")


def test_an_infinite_number_that_a_dataclass_made_of_its_parameters_is_restored():
    @dataclass
    class Limited:
        limit: float | None = None

        def __post_init__(self):
            self.limit = float("inf") if self.limit is None else self.limit

    assert restored(Limited, {"limit": "inf"}, owner="selector mine") == Limited()
    assert refused(Limited, {"limit": "inf"}) == ["limit='inf': input should be a finite number"]
