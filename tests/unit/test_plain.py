"""plain.py: values as JSON has them, the same in every process, that a type leads back to."""

import json
import math
import re
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic
import pytest

from dataflex_core.config.params import restored
from dataflex_core.config.plain import plain, plain_values


class Band(Enum):
    LOW = "low"
    HIGH = "high"


class Level(IntEnum):
    FIRST = 1


@dataclass(frozen=True)
class Inner:
    scale: float = math.inf
    bands: frozenset[Band] = frozenset({Band.LOW})
    children: "tuple[Inner, ...]" = ()
    hidden: int = field(default=7, init=False)


class Model(pydantic.BaseModel):
    scale: float = math.inf
    names: set[str] = {"b", "a"}


class Pair(NamedTuple):
    low: float
    high: float


INNER = {"scale": 1.0, "bands": ["high", "low"], "children": [{"scale": "inf", "bands": ["low"], "children": []}]}


@pytest.mark.parametrize(
    ("hint", "value", "as_json"),
    [
        (int, 3, 3),
        (bool, True, True),
        (int | None, None, None),
        (str, "inf", "inf"),
        (float, math.inf, "inf"),
        (float, -math.inf, "-inf"),
        (list[float], [1.5, math.inf], [1.5, "inf"]),
        (tuple[int, ...], (1, 2), [1, 2]),
        (Pair, Pair(0.0, 1.0), [0.0, 1.0]),
        (dict[str, float], {"a": 1.0}, {"a": 1.0}),
        (dict[int, float], {1: 2.0}, {"1": 2.0}),
        (dict[bool, int], {True: 1}, {"true": 1}),
        (dict[Band, float], {Band.HIGH: 1.0}, {"high": 1.0}),
        (set[str], {"c", "a", "b"}, ["a", "b", "c"]),
        (frozenset[int], frozenset({2, 1}), [1, 2]),
        (set[Band], {Band.LOW, Band.HIGH}, ["high", "low"]),
        (Band, Band.HIGH, "high"),
        (Level, Level.FIRST, 1),
        (Literal["a", 1], 1, 1),
        (Inner, Inner(1.0, frozenset(Band), (Inner(),)), INNER),
        (list[Inner], [Inner(2.0)], [{"scale": 2.0, "bands": ["low"], "children": []}]),
        (Model, Model(), {"scale": "inf", "names": ["a", "b"]}),
        (Path, Path("a"), "a"),
        (bytes, b"a", "a"),
        (Decimal, Decimal("0.1"), "0.1"),
        (Fraction, Fraction(1, 3), "1/3"),
        (date, date(2026, 1, 2), "2026-01-02"),
        (datetime, datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        (timedelta, timedelta(days=1), "P1D"),
        (re.Pattern, re.compile("a+"), "a+"),
    ],
)
def test_a_value_is_written_so_that_its_type_leads_back_to_it(hint, value, as_json):
    params = make_dataclass("Params", [("value", hint)])
    written = plain_values(params(value))
    assert json.loads(json.dumps(written, allow_nan=False)) == written == {"value": as_json}
    assert restored(params, written, owner="selector mine") == params(value)


@pytest.mark.parametrize(
    ("value", "as_json"),
    [
        (math.nan, "nan"),
        ({("a", "b"): 1, None: 2}, {'["a", "b"]': 1, "null": 2}),
        (b"\xff", r"b'\xff'"),
        (Any, "typing.Any"),
    ],
)
def test_what_does_not_come_back_is_written_all_the_same(value, as_json):
    assert plain(value) == as_json


def test_a_set_has_one_order_whatever_its_members_are():
    assert plain({Inner(1.0), "b", 3, "a"}) == ["a", "b", 3, {"scale": 1.0, "bands": ["low"], "children": []}]
