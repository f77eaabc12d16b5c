"""Products of samples' gradients with each other: exact, in blocks, and each gradient made as seldom as can be."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from cases import cases
from signal_support import SIZE, STEPS, reference_updates, set_up, signals_of
from support import build_model

from dataflex_core.scoring import own_directions, products

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)
SOME = np.array([30, 2, 17, 8, 9])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("products"), seed=3)


def hold(monkeypatch, signals, count):
    """Let so many gradients be held at once."""
    size = sum(p.numel() for p in signals._context.gradients.parameters.values())
    monkeypatch.setattr(own_directions, "_HELD", count * size)


def counted(signals):
    """How many gradients are made, batch by batch, those that are made again included."""
    made, real = [], signals._context.gradients.of

    def of(batch):
        made.append(len(batch["input_ids"]))
        return real(batch)

    signals._context.gradients.of = of
    return made


def agree(found, expected):
    scale = float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * scale)


@pytest.mark.parametrize("how", ["lora", "full", "tied", "dora", "beyond hooks"])
@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("at_once", cases([100, 7], slow=[7]))
def test_products_are_those_of_unprojected_float64_gradients(folder, monkeypatch, how, adam, at_once):
    model, optimizer, pool, targets = set_up(folder, how)
    signals = signals_of(model, optimizer, pool, targets)
    hold(monkeypatch, signals, at_once)
    update = reference_updates(model, optimizer, pool, adam=adam, step=STEPS + 1).numpy()
    expected = update @ update.T
    agree(signals.products(EVERY, EVERY, adam=adam), expected)
    agree(signals.products(EVERY[::3], SOME, adam=adam), expected[np.ix_(EVERY[::3], SOME)])


@pytest.mark.parametrize("at_once", [100, 7])
def test_ids_may_come_in_any_order_and_twice(folder, monkeypatch, at_once):
    signals = signals_of(*set_up(folder, "lora"))
    hold(monkeypatch, signals, at_once)
    whole = signals.products(EVERY, EVERY)
    for a, b in ((SOME, SOME[::-1]), (SOME, EVERY), (np.array([3, 3, 1]), SOME), (SOME, SOME[:0]), (SOME[:0], SOME)):
        agree(signals.products(a, b), whole[np.ix_(a, b)])


@pytest.mark.parametrize("at_once", [100, 7])
def test_the_same_samples_on_both_sides_give_a_mirror_image(folder, monkeypatch, at_once):
    signals = signals_of(*set_up(folder, "full"))
    hold(monkeypatch, signals, at_once)
    found = signals.products(EVERY, EVERY)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize(
    ("at_once", "a", "b", "made"),
    [
        (100, EVERY, EVERY, SIZE),
        (100, EVERY, EVERY[::-1], SIZE),
        (100, SOME, EVERY, len(SOME) + SIZE),
        (10, EVERY, EVERY, SIZE + 30 + 20 + 10),
        (10, EVERY, SOME, SIZE + 4 * len(SOME)),
    ],
)
def test_a_gradient_is_made_once_a_block_and_the_same_samples_pay_once(folder, monkeypatch, at_once, a, b, made):
    signals = signals_of(*set_up(folder, "lora"))
    hold(monkeypatch, signals, at_once)
    signals.influence(EVERY)  # hooks have been looked at
    batches = counted(signals)
    signals.products(a, b)
    assert sum(batches) == made


@pytest.mark.parametrize("at_once", [1, 7, SIZE])
def test_no_more_gradients_are_held_than_a_block(folder, monkeypatch, at_once):
    """Whatever is a gradient above the other, of any parameter: stacked by this pass, and still alive."""
    signals = signals_of(*set_up(folder, "full"))
    hold(monkeypatch, signals, at_once)
    alive, most, real = weakref.WeakSet(), [], products.zeros_of

    def stacked(gradients, count):
        made = real(gradients, count)
        alive.update(made.values())
        most.append(sum(vectors.numel() for vectors in alive))
        return made

    monkeypatch.setattr(products, "zeros_of", stacked)
    signals.products(EVERY, EVERY)
    signals.products(EVERY, SOME)
    assert len(most) == 2 * -(-SIZE // at_once)
    assert max(most) == own_directions._HELD


def test_a_sample_without_a_target_token_has_no_product(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    empty = {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}
    signals = signals_of(model, optimizer, [empty, *pool], targets)
    ids = np.arange(4)
    for found in (signals.products(ids, ids), signals.products(ids, np.append(ids, 9))):
        assert np.isnan(found[0]).all()
        assert np.isnan(found[:, 0]).all()
        assert np.isfinite(found[1:, 1:]).all()


def test_products_are_on_the_scale_of_alignments(folder):
    model, optimizer, pool, _ = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, [[pool[i] for i in SOME]])
    found = signals.products(EVERY, SOME, adam=False).mean(axis=1)
    agree(found, signals.alignments(EVERY, adam=False)[:, 0])


def test_an_optimizer_without_moments_says_so(folder):
    model, _, pool, targets = set_up(folder, "lora")
    notices: list[str] = []
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    signals = signals_of(model, optimizer, pool, targets, notices=notices)
    np.testing.assert_array_equal(signals.products(SOME, SOME), signals.products(SOME, SOME, adam=False))
    assert notices == ["the optimizer keeps no Adam moments: gradients are compared as they are"]


def test_running_out_of_memory_halves_batches_and_changes_nothing(folder, monkeypatch):
    signals = signals_of(*set_up(folder, "lora"))
    hold(monkeypatch, signals, 15)
    expected = signals.products(EVERY, EVERY)
    tried, real = [], signals._context.gradients.of

    def scarce(batch):
        found, rows = real(batch), len(batch["input_ids"])
        tried.append(rows)
        return replace(found, parts=lambda: halfway(found.parts())) if rows > 2 else found

    def halfway(parts):
        yield from islice(parts, 5)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")

    signals._context.gradients.of = scarce
    agree(signals.products(EVERY, EVERY), expected)
    assert max(tried) > 2 >= min(tried)
