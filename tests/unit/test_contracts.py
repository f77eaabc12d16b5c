"""contracts.py: the requests, the default choice, and what a scoring selector does with its scores."""

import dataclasses
import inspect
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex_core import requests
from dataflex_core.choosing import top
from dataflex_core.contracts import Mixer, ScoringSelector, Selector, Weighter
from dataflex_core.errors import StrategyFault
from dataflex_core.requests import Progress, Selection, SelectionRequest
from dataflex_core.weighing import TokenLosses

REQUESTS = [c for _, c in inspect.getmembers(requests, dataclasses.is_dataclass) if dataclasses.fields(c)]
NAN, INF = float("nan"), float("inf")


def test_every_request_is_found():
    assert len(REQUESTS) >= 9


@pytest.mark.parametrize("request_type", REQUESTS)
def test_requests_are_frozen_slotted_and_keyword_only(request_type):
    values = {f.name: object() for f in dataclasses.fields(request_type)}
    made = request_type(**values)
    assert not hasattr(made, "__dict__")
    with pytest.raises(TypeError):
        request_type(*values.values())
    for name in values:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, None)


@pytest.mark.parametrize(
    ("scores", "count", "chosen"),
    [
        ([0.1, 0.9, 0.5], 2, [20, 30]),
        ([0.5, 0.5, 0.5], 2, [10, 20]),
        ([0.1, 0.5, 0.5], 3, [20, 30, 10]),
        ([NAN, 0.1, NAN], 3, [20]),
        ([NAN, NAN, NAN], 1, []),
        ([-INF, NAN, INF], 3, [30, 10]),
        ([0.0, -0.0, -1.0], 2, [10, 20]),
        ([3.0, 2.0, 1.0], 9, [10, 20, 30]),
    ],
)
def test_top(scores, count, chosen):
    found = top(np.array([10, 20, 30]), np.array(scores, dtype=np.float32), count)
    assert found.tolist() == chosen
    assert found.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.bool_, np.float16])
def test_top_of_numbers_of_any_kind(dtype):
    scores = np.array([0, 1, 0, 1]) if dtype is np.bool_ else np.array([0, 5, 2, 1])
    best = top(np.arange(4), scores.astype(dtype), 2)
    assert best.tolist() == ([1, 3] if dtype is np.bool_ else [1, 2])


def test_top_of_columns_is_refused_in_words():
    with pytest.raises(ValueError, match=r"scores of shape \(3, 2\) for 3 candidates"):
        top(np.arange(3), np.zeros((3, 2)), 1)


@given(
    scores=st.lists(st.sampled_from([NAN, -INF, -1.5, 0.0, 0.25, 1.0, INF]), min_size=1, max_size=40), data=st.data()
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_top_is_the_sorted_prefix(scores, data):
    count = data.draw(st.integers(1, len(scores)))
    order = sorted((i for i, s in enumerate(scores) if not math.isnan(s)), key=lambda i: (-scores[i], i))
    found = top(np.arange(len(scores)) * 3, np.array(scores, dtype=np.float32), count)
    assert found.tolist() == [3 * i for i in order[:count]]


class ReversedShard:
    """Signals of one rank that is given its samples in another order than the candidates'."""

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        by_id = dict(zip(shard.tolist(), values.tolist(), strict=True))
        return np.array([by_id[i] for i in ids.tolist()], dtype=np.float32)


class ByRemainder(ScoringSelector[None]):
    def score(self, request, shard):
        return (shard % 7).astype(np.float32)


def request():
    progress = Progress(step=1, total_steps=2, decision=1, decisions=1, epoch=0.0, learning_rate=0.1, seed=0)
    return SelectionRequest(
        progress=progress,
        domains=(),
        candidates=np.array([5, 6, 8, 13, 20]),
        count=3,
        steps=1,
        global_batch=3,
        rng=np.random.default_rng(0),
        signals=ReversedShard(),
    )


def test_a_scoring_selector_chooses_by_the_gathered_scores():
    selector = ByRemainder(None)
    assert selector.scores(request()).tolist() == [5, 6, 1, 6, 6]
    chosen = selector.select(request())
    assert chosen.ids.tolist() == [6, 13, 20]
    assert chosen.ordered is False


@pytest.mark.parametrize("shape", [(5, 0), (5, 1, 1), ()])
def test_scores_of_no_column_or_of_several_axes_are_refused(shape):
    class Odd(ByRemainder):
        def score(self, request, shard):
            return np.zeros(shape)

    with pytest.raises(StrategyFault, match=re.escape(f"Odd.score gave a ndarray of shape {shape}, not scores")):
        Odd(None).scores(request())


def test_a_scoring_selector_may_choose_otherwise():
    class Worst(ByRemainder):
        def choose(self, request, scores):
            return Selection(ids=top(request.candidates, -scores, request.count), ordered=True)

    assert Worst(None).select(request()).ids.tolist() == [8, 5, 6]


def test_narrowed_changes_only_what_it_is_told():
    whole, rng = request(), np.random.default_rng(1)
    part = whole.narrowed(np.array([6, 8]), 1, rng)
    assert part.candidates.tolist() == [6, 8]
    assert (part.count, part.rng) == (1, rng)
    assert (part.progress, part.domains, part.signals) == (whole.progress, whole.domains, whole.signals)
    assert whole.candidates.size == 5


@pytest.mark.parametrize(
    ("kind", "method"),
    [(Selector, "select"), (ScoringSelector, "score"), (Mixer, "mix"), (Weighter, "weigh")],
)
def test_a_strategy_implements_one_method_and_inherits_the_rest(kind, method):
    with pytest.raises(TypeError, match=f"abstract method '?{method}'?"):
        kind({"k": 1})
    made = type("Made", (kind,), {method: lambda self, *arguments: "answer"})({"k": 1})
    assert getattr(made, method)(None) == "answer"
    assert made.params == {"k": 1}
    assert made.setup(None) is None
    assert made.state_dict() == {}
    assert made.load_state_dict({}) is None


def test_token_losses_by_sample():
    import torch

    values = torch.tensor([[1.0, 2.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    losses = TokenLosses(values=values, mask=torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool))
    assert losses.counts.tolist() == [2, 1, 0]
    assert losses.counts.dtype == losses.per_sample.dtype == torch.float32
    assert losses.per_sample[:2].tolist() == [1.5, 4.0]
    assert losses.per_sample[2].isnan()
