"""questions.py: ids and arguments that signals can be asked with, and those they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex_core.errors import StrategyFault
from dataflex_core.questions import as_ids, check_sampling

DRAWN = {"count": 2, "max_new_tokens": 8, "temperature": 1.0, "top_p": 0.9}


@given(st.lists(st.integers(0, 9)))
def test_whole_numbers_of_any_kind_are_ids(ids):
    for given_as in (ids, tuple(ids), np.array(ids, dtype=np.int32), np.array(ids, dtype=np.uint8)):
        found = as_ids(given_as, 10)
        assert found.dtype == np.int64
        assert found.tolist() == ids


def test_ids_that_are_that_already_are_not_copied():
    ids = np.arange(3)
    assert as_ids(ids, 3) is ids
    assert as_ids(range(3), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.array([True, False, True]), "bool of shape (3,)"),
        (np.array([0.0, 1.0]), "float64"),
        (np.array([[0, 1]]), "shape (1, 2)"),
        (np.int64(3), "shape ()"),
        ([0, -1], "ids -1 to 0 are asked about, of 10"),
        ([10], "ids 10 to 10"),
        ([[0], [1, 2]], "no array"),
        (["a"], "U1"),
        (None, "object"),
    ],
    ids=repr,
)
def test_what_are_no_ids_is_refused(ids, said):
    with pytest.raises(StrategyFault) as caught:
        as_ids(ids, 10)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": None},
        {"count": 0},
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
    ids=str,
)
def test_completions_that_cannot_be_drawn_are_refused(change):
    check_sampling(**DRAWN)
    with pytest.raises(StrategyFault) as caught:
        check_sampling(**{**DRAWN, **change})
    assert caught.value.hint
