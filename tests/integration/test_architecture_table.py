"""The table of architectures in docs/signals.md: all families, and of each what is slow. Times are not looked at."""

from __future__ import annotations

import pytest
from architecture_table import BOUNDED, PAGE, WAYS, Row, read, text_rows, vision_rows, written
from architectures import TEXT
from architectures import WAYS as TEXT_WAYS
from vision import VISION
from vision import WAYS as VISION_WAYS


@pytest.fixture(scope="module")
def shown():
    return {(row.family, row.trained): row for row in read(PAGE.read_text(encoding="utf-8"))}


def test_the_families_are_those_that_are_tested(shown):
    wanted = [(family.title, WAYS[way]) for family in TEXT.values() for way in TEXT_WAYS]
    wanted += [(family.title, WAYS[way]) for family in VISION.values() for way in VISION_WAYS]
    assert list(shown) == wanted


@pytest.mark.parametrize("rows", [text_rows, vision_rows])
def test_what_is_slow_is(shown, rows):
    for row in rows():
        assert shown[row.family, row.trained].slow == row.slow


def test_of_the_first_families_nothing_is_slow(shown):
    first = [family.title for family in TEXT.values()][:BOUNDED]
    assert not [row for row in shown.values() if row.family in first and row.slow]


def test_a_table_is_read_as_it_was_written():
    rows = [
        Row(family="A", trained="LoRA", slow=(), ratio=1.25),
        Row(family="B", trained="all", slow=("x.*.weight", "y")),
    ]
    page = written(f"before\n{PAGE.read_text(encoding='utf-8')}\nafter\n", rows)
    assert read(page) == rows
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
