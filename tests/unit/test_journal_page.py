"""The journal's page has every event, every field and its type, in the order of the classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from dataflex_core.journal import RowsFact, ScoresFact, ShortageFact, StrategyFact, WeightsFact
from dataflex_core.journal.events import EVENTS

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
FACTS = {
    "strategy": StrategyFact,
    "shortage": ShortageFact,
    "rows": RowsFact,
    "scores": ScoresFact,
    "weights": WeightsFact,
}
SECTIONS = re.findall(r"^### `?(\w+)`?\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)


def rows_of(text):
    """Field and type of each row of a section's table."""
    found = re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE)
    return [(name, re.sub(r"\{[\w ]+: ", "{", re.sub(r"\[`(\w+)`\]\(#\1\)", r"\1", kind))) for name, kind in found]


def in_words(kind: Any) -> str:
    """The type of a field as the page has it, without the names of keys."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return " or ".join("null" if each is NoneType else in_words(each) for each in inner)
    if origin is tuple:
        return f"list of {in_words(inner[0])}"
    if origin is Mapping:
        return "object" if inner[1] is Any else f"{{{in_words(inner[1])}}}"
    return next(name for name, fact in FACTS.items() if fact is kind) if is_dataclass(kind) else kind.__name__


def test_every_event_and_value_has_one_section():
    assert sorted(name for name, _ in SECTIONS) == sorted([*EVENTS, *FACTS])


@pytest.mark.parametrize(("name", "text"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_a_section_has_every_field_and_its_type(name, text):
    kind = {**EVENTS, **FACTS}[name]
    hints = get_type_hints(kind)
    assert rows_of(text) == [(field.name, in_words(hints[field.name])) for field in fields(kind)]
