"""Directions of a strategy's own, and products unnormalised, against references in plain PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import cases
from signal_support import SIZE, STEPS, TARGETS, reference_gradients, reference_updates, set_up, signals_of
from support import build_model

from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.scoring import own_directions

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)
EMPTY = {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("directions"), seed=3)


@pytest.fixture(params=[1 << 27, 1], ids=["many at once", "one at a time"])
def held(request, monkeypatch):
    """How many numbers of gradients are held at once."""
    monkeypatch.setattr(own_directions, "_HELD", request.param)


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("how", ["lora", "full", "tied", "beyond hooks"])
@pytest.mark.parametrize("adam", cases([True, False], slow=[False]))
def test_products_with_own_directions_are_the_float64_batch_of_one_reference(folder, how, adam):
    model, optimizer, pool, targets = set_up(folder, how)
    signals = signals_of(model, optimizer, pool, targets)
    rng = np.random.default_rng(0)
    one, several = rng.normal(size=TARGETS[0]), rng.normal(size=(3, 6))
    ids = np.array([30, 2, 17, 8, 9, 11])
    directions = [signals.target("t0").direction(np.arange(TARGETS[0]), one), signals.direction(ids, several)]
    sums = [
        torch.from_numpy(np.atleast_2d(one)) @ reference_gradients(model, targets[0]),
        torch.from_numpy(several) @ reference_gradients(model, [pool[i] for i in ids]),
    ]
    update = reference_updates(model, optimizer, pool, adam=adam)

    found = signals.influences(EVERY, directions=directions, adam=adam)
    q = torch.stack([unit(vectors).mean(dim=0) for vectors in sums])
    np.testing.assert_allclose(found, (unit(update) @ q.T).numpy(), rtol=1e-4, atol=2e-6)

    found = signals.alignments(EVERY, directions=directions, adam=adam)
    update = reference_updates(model, optimizer, pool, adam=adam, step=STEPS + 1)
    q = torch.stack([vectors.mean(dim=0) for vectors in sums])
    scale = float(update.norm(dim=1).max() * q.norm(dim=1).max())
    np.testing.assert_allclose(found, (update @ q.T).numpy(), rtol=1e-4, atol=2e-6 * scale)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("method", ["influences", "alignments"])
def test_a_subtask_is_a_direction_of_its_samples(folder, method):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, [targets[0], [*targets[1], EMPTY]])
    own = []
    for name in signals.targets:
        samples = signals.target(name)
        own.append(samples.direction(np.arange(len(samples)), np.eye(len(samples))))
    ask = getattr(signals, method)
    np.testing.assert_allclose(ask(EVERY, directions=own), ask(EVERY), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adam", [True, False])
def test_alignments_are_products_with_mean_gradients(folder, adam):
    model, optimizer, pool, targets = set_up(folder, "lora")
    found = signals_of(model, optimizer, [*pool, EMPTY], targets).alignments(np.arange(SIZE + 1), adam=adam)
    update = reference_updates(model, optimizer, pool, adam=adam, step=STEPS + 1)
    q = torch.stack([reference_gradients(model, rows).mean(dim=0) for rows in targets])
    scale = float(update.norm(dim=1).max() * q.norm(dim=1).max())
    np.testing.assert_allclose(found[:-1], (update @ q.T).numpy(), rtol=1e-4, atol=1e-6 * scale)
    assert np.isnan(found[-1]).all()


@pytest.mark.usefixtures("held")
def test_what_has_no_gradient_adds_nothing_and_does_not_count(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, [*pool, EMPTY], targets)
    plain = signals.direction(np.array([3, 4]), np.array([[1.0, 2.0]]))
    # A sample twice, one without a target token, and a sum of nothing.
    same = signals.direction(np.array([4, 3, 4, SIZE]), np.array([[0.5, 1.0, 1.5, 9.0], [0.0, 0.0, 0.0, 9.0]]))
    found = signals.influences(EVERY, directions=[plain, same])
    np.testing.assert_allclose(found[:, 1], found[:, 0], rtol=1e-5, atol=1e-7)
    for nothing in (np.zeros(2), np.zeros((3, 2))):
        with pytest.raises(DataError, match="a direction of the pool has no gradient"):
            signals.influences(EVERY, directions=[plain, signals.direction(np.array([3, 4]), nothing)])


def test_the_shard_that_was_taken_last_is_still_dealt_as_it_was(folder):
    """Ranks in lockstep count on it."""
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    shard = signals.shard(EVERY)
    dealt = signals._samples.dealt
    signals.influences(shard, directions=[signals.direction(np.arange(5), np.ones(5))])
    signals.products(np.arange(5), np.arange(9))
    assert signals._samples.dealt is dealt


WRONG = {
    "another number": (lambda s: s.direction(np.arange(3), np.ones(4)), "weights of shape"),
    "three axes": (lambda s: s.direction(np.arange(3), np.ones((1, 1, 3))), "weights of shape"),
    "nothing": (lambda s: s.direction(np.arange(0), np.ones(0)), "weights of shape"),
    "an id too large": (lambda s: s.direction(np.array([SIZE]), np.ones(1)), "ids 40 to 40"),
    "an id below zero": (lambda s: s.direction(np.array([-1]), np.ones(1)), "ids -1 to -1"),
    "NaN": (lambda s: s.direction(np.arange(2), np.array([1.0, np.nan])), "not finite"),
    "no direction": (lambda s: s.influences(EVERY, directions=[]), "no direction"),
    "a product with nobody": (lambda s: s.products(EVERY, EVERY + 1), "ids 1 to 40"),
}


@pytest.mark.parametrize(("ask", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_a_fault_of_the_strategy(folder, ask, said):
    with pytest.raises(StrategyFault, match=said):
        ask(signals_of(*set_up(folder, "lora")))


UNLIKE = {
    "directions": lambda s: s.influences(EVERY, directions=[s.direction(np.arange(2), np.ones(2))]),
    "products": lambda s: s.products(EVERY, EVERY),
}


@pytest.mark.parametrize("ask", UNLIKE.values(), ids=UNLIKE)
def test_ranks_that_ask_for_something_else_are_stopped_before_they_wait_for_each_other(folder, ask):
    signals = signals_of(*set_up(folder, "lora"))
    signals._context.engine.ranks.differing = lambda digest: [1, 3]
    with pytest.raises(StrategyFault, match=r"ranks 1, 3 ask for .* than rank 0"):
        ask(signals)
