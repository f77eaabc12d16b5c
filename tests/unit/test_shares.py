"""Shares of a number of things are what their decimals say, wherever they are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex_core import last_layers, rounded_down, rounded_up
from dataflex_core.planning.probe import Probing
from dataflex_core.rng import derive
from dataflex_strategies.selectors.column import ColumnParams, taken
from dataflex_strategies.selectors.delta_loss import window

pytestmark = pytest.mark.numeric


@given(hundredths=st.integers(1, 2000), total=st.integers(1, 10**7))
def test_a_share_in_hundredths_is_rounded_as_if_it_were_exact(hundredths, total):
    assert rounded_up(hundredths / 100 * total) == -(-hundredths * total // 100)
    assert rounded_down(hundredths / 100 * total) == hundredths * total // 100


@given(part=st.integers(1, 10**7), total=st.integers(1, 10**7))
def test_a_part_comes_back_from_its_share(part, total):
    assert rounded_up(part / total * total) == rounded_down(part / total * total) == part


def test_what_is_a_little_is_something():
    assert (rounded_up(1e-300), rounded_down(1e-300), rounded_up(0.0)) == (1, 0, 0)


def test_layers_and_probes_are_no_more_than_asked_for():
    assert math.ceil(0.07 * 100) == 8, "in binary"
    assert last_layers(0.07, 100) == 7
    assert Probing(ratio=1.1, floor=0.5).size(100) == 110


def test_a_band_of_ranks_begins_and_ends_where_it_says():
    params = ColumnParams(take="band", low=0.29, high=0.57)
    found = taken(np.arange(100), np.arange(100, dtype=np.float32), 100, params, derive(0))
    assert sorted(found.tolist()) == list(range(29, 57))


def test_a_window_lies_where_it_says():
    assert window(1, 2, 100, 0.9) == (5, 95)
