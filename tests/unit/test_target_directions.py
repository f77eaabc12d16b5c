"""Directions of the target set that later decisions look along, too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dataflex_core.errors import StrategyFault
from dataflex_core.scoring.target_directions import TargetDirections

PARAMETERS = {"a": torch.nn.Parameter(torch.zeros(2, 3)), "b": torch.nn.Parameter(torch.zeros(4))}


class Kept:
    """What is kept, and after which steps it was taken."""

    def __init__(self, state=None):
        self.directions, self.passes = TargetDirections(), []
        self.directions.load(state or {})

    def ask(self, step, refresh, *, question="unit all", parameters=PARAMETERS):
        def take():
            self.passes.append(step)
            vectors = {p: torch.full((2, p.numel()), float(step)) for p in parameters.values()}
            return vectors, torch.tensor([7.0, 5.0])

        return self.directions.of(question, parameters, take, step=step, refresh=refresh)

    def decisions(self, *steps, refresh, **options):
        for step in steps:
            self.directions.new_decision()
            for _ in range(3):  # a decision may ask several times
                self.ask(step, refresh, **options)
        return self.passes


@pytest.mark.parametrize(("refresh", "passes"), [(1, [0, 10, 20, 30, 40]), (2, [0, 20, 40]), (3, [0, 30]), (9, [0])])
def test_a_pass_is_made_at_every_so_manieth_decision(refresh, passes):
    assert Kept().decisions(0, 10, 20, 30, 40, refresh=refresh) == passes


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_that_goes_on_looks_along_the_same_directions(stop):
    steps = [0, 10, 20, 30]
    before = Kept()
    before.decisions(*steps[:stop], refresh=3)
    after = Kept(before.directions.state(PARAMETERS))
    assert before.passes + after.decisions(*steps[stop:], refresh=3) == [0, 30]
    if stop < 3:
        taken = Kept(before.directions.state(PARAMETERS)).ask(steps[stop], 3)
        assert taken.step == 0
        np.testing.assert_array_equal(taken.counted[1], [7.0, 5.0])
        assert all(not vectors.any() for vectors in taken.counted[0].values())


def test_a_checkpoint_carries_nothing_that_nobody_will_ask_for():
    kept = Kept()
    kept.decisions(0, refresh=1)
    kept.decisions(0, 10, refresh=2, question="mean all")
    assert kept.directions.state(PARAMETERS) == {}
    kept.decisions(20, refresh=2, question="mean all")
    (state,) = kept.directions.state(PARAMETERS).values()
    assert set(state["vectors"]) == {"a", "b"}
    assert Kept(kept.directions.state(PARAMETERS)).directions.state(PARAMETERS).keys() == {"mean all, every 2"}


def test_other_parameters_have_directions_of_their_own():
    kept = Kept()
    kept.decisions(0, refresh=5)
    state = kept.directions.state(PARAMETERS)
    fewer = {"a": PARAMETERS["a"]}
    assert kept.decisions(10, refresh=5, parameters=fewer) == [0, 10]
    assert Kept(state).decisions(10, refresh=5, parameters=fewer) == [10]


def test_a_refresh_below_one_is_a_fault():
    with pytest.raises(StrategyFault, match="refresh is 0"):
        Kept().ask(0, 0)
