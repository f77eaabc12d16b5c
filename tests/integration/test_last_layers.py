"""Gradients of the last layers alone: the numbers, where the backward pass ends, and directions that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from signal_support import SIZE, reference_gradients, reference_updates, set_up, signals_of
from support import build_model

from dataflex_core.errors import StrategyFault, UnmetNeed
from dataflex_core.scoring.last_layers import layers_of, parameters_behind

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("model"), seed=3)


def columns_of(model, last):
    """Which numbers of a whole gradient are of the last layers, and what lies behind them."""
    behind = parameters_behind(model, last)
    return torch.cat([torch.full((p.numel(),), p in behind) for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("how", ["lora", "full", "tied", "gpt2", "beyond hooks", "frozen"])
@pytest.mark.parametrize("layers", ["last-1", 0.5])
def test_scores_are_those_of_the_gradients_of_these_layers(folder, how, layers):
    model, optimizer, pool, targets = set_up(folder, how)
    signals, of = signals_of(model, optimizer, pool, targets), columns_of(model, 1)
    assert 0 < of.sum() <= len(of)
    update = reference_updates(model, optimizer, pool)[:, of]
    held = [reference_gradients(model, rows)[:, of] for rows in targets]
    q = torch.stack([(g / g.norm(dim=1, keepdim=True)).mean(dim=0) for g in held])
    expected = ((update / update.norm(dim=1, keepdim=True)) @ q.T).numpy()
    np.testing.assert_allclose(signals.influences(EVERY, layers=layers), expected, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(signals.influence(EVERY, layers=layers), expected.max(axis=1), rtol=1e-4, atol=2e-6)
    if how == "lora":
        own = [
            signals.target(name).direction(np.arange(len(rows)), np.eye(len(rows)))
            for name, rows in zip(signals.targets, targets, strict=True)
        ]
        found = signals.influences(EVERY, directions=own, layers=layers)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_which_parameters_lie_behind(folder):
    def names(how, last):
        model = set_up(folder, how)[0]
        behind = parameters_behind(model, last)
        return {name for name, p in model.named_parameters() if p in behind and p.requires_grad}

    assert {name.split(".")[-2] for name in names("full", 1) if ".1." not in name} == {"norm", "lm_head"}
    assert all(".1." in name or "norm" in name for name in names("tied", 1)), "embeddings lie at both ends"
    assert {name.split(".layers.")[1][0] for name in names("lora", 1)} == {"1"}
    assert "shift" not in names("beyond hooks", 1)
    assert "transformer.ln_f.weight" in names("gpt2", 1)
    assert not any("embed" in name for name in names("full", 2))


@pytest.mark.parametrize("how", ["lora", "full"])
def test_the_backward_pass_ends_at_the_first_of_them(folder, how):
    model, optimizer, pool, targets = set_up(folder, how)
    signals = signals_of(model, optimizer, pool, targets)
    signals.influence(EVERY, layers="last-1")  # the first batches are looked at twice
    reached = []

    def notice(number):
        def after(layer, args, output):
            states = output[0] if isinstance(output, tuple) else output
            if states.requires_grad:
                states.register_hook(lambda grad: reached.append(number))

        return after

    handles = [layer.register_forward_hook(notice(n)) for n, layer in enumerate(layers_of(model))]
    try:
        signals.new_decision(1)
        signals.influence(EVERY, layers="last-1")
        assert set(reached) == {1}
        signals.influence(EVERY)
        assert set(reached) == {0, 1}
    finally:
        for handle in handles:
            handle.remove()


WRONG = {
    "more than there are": ({"layers": "last-3"}, UnmetNeed, "of a model of 2"),
    "none": ({"layers": "last-0"}, StrategyFault, "write all, last-K, or a share"),
    "a share of none": ({"layers": 0.0}, StrategyFault, "write all, last-K, or a share"),
    "a share above one": ({"layers": 1.5}, StrategyFault, "write all, last-K, or a share"),
    "another word": ({"layers": "first"}, StrategyFault, "write all, last-K, or a share"),
    "a refresh of none": ({"refresh": 0}, StrategyFault, "refresh is 0"),
}


@pytest.mark.parametrize(("options", "error", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked(folder, options, error, said):
    with pytest.raises(error) as raised:
        signals_of(*set_up(folder, "lora")).influence(EVERY, **options)
    assert said in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize("goes_on", [False, True])
def test_kept_directions_are_those_of_the_model_as_it_was(folder, goes_on):
    """Of samples the model is always the one of now."""
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    signals.influence(EVERY, refresh=2)
    g = [reference_gradients(model, rows) for rows in targets]
    q = torch.stack([(each / each.norm(dim=1, keepdim=True)).mean(dim=0) for each in g])
    state = signals.state()
    for row in pool[:3]:
        model(**{key: torch.tensor([value]) for key, value in row.items()}).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if goes_on:
        signals = signals_of(model, optimizer, pool, targets)
        signals.load(state)
    update = reference_updates(model, optimizer, pool)
    expected = ((update / update.norm(dim=1, keepdim=True)) @ q.T).numpy()
    signals.new_decision(3)
    kept = signals.influences(EVERY, refresh=2)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=2e-6)
    fresh = signals.influences(EVERY)
    assert np.abs(fresh - kept).max() > 1e-3
    signals.new_decision(6)
    np.testing.assert_array_equal(signals.influences(EVERY, refresh=2), fresh)
