"""declared.py: signals answer what a strategy has declared that it needs, and no more."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from dataflex_core import Need, Signals, StrategyFault
from dataflex_core.declared import DeclaredSignals, needs_of_call

FREE = {"shard", "lengths", "target_tokens", "texts", "row", "gather", "over", "direction"}
SHARD = np.arange(3)
PLAIN = {Need.GRADIENTS}
ADAM = {Need.GRADIENTS, Need.MOMENTS}
CASES = {
    "influence": (lambda s: s.influence(SHARD), {*ADAM, Need.TARGET_SET}),
    "influences": (lambda s: s.influences(SHARD, adam=False), {*PLAIN, Need.TARGET_SET}),
    "with directions": (lambda s: s.influences(SHARD, directions=[None]), ADAM),
    "with no directions": (lambda s: s.influences(SHARD, directions=None), {*ADAM, Need.TARGET_SET}),
    "alignments": (lambda s: s.alignments(SHARD), {*ADAM, Need.TARGET_SET}),
    "alignments with directions": (lambda s: s.alignments(SHARD, directions=[None], adam=False), PLAIN),
    "held-out samples": (lambda s: s.holdout("words"), {Need.HOLDOUT}),
    "products": (lambda s: s.products(SHARD, SHARD), ADAM),
    "plain products": (lambda s: s.products(SHARD, SHARD, adam=False), PLAIN),
}


class Answers:
    """Answers everything."""

    def __getattr__(self, name):
        return lambda *args, **options: 1


@pytest.mark.parametrize(("ask", "needs"), CASES.values(), ids=CASES)
def test_a_question_takes_its_needs_and_no_others(ask, needs):
    assert ask(DeclaredSignals(Answers(), frozenset(needs), "selector mine")) == 1
    for missing in needs:
        with pytest.raises(StrategyFault, match=f"selector mine asks .* does not declare Need.{missing.name}"):
            ask(DeclaredSignals(Answers(), frozenset(needs - {missing}), "selector mine"))


def test_every_question_has_its_needs_or_is_known_to_cost_nothing():
    methods = {name for name, member in vars(Signals).items() if inspect.isfunction(member) and name[:2] != "__"}
    assert {name for name in methods if not needs_of_call(name, {})} == FREE
