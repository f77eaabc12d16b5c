"""A weighter is shown the accumulation window: how it is split into micro-batches does not show, nor does dropout."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from support import base_args, build_model, train, train_plain, weights
from third_party import catalog, module
from transformers import LlamaForCausalLM

from dataflex_strategies.weighters.loss import LossWeighter

pytestmark = pytest.mark.numeric

SPLITS = ((8, 1), (4, 2), (2, 4), (1, 8))
COMMON = {
    "max_steps": 6,
    "logging_steps": 1,
    "lr_scheduler_type": "constant",
    "learning_rate": 1e-3,
    # Adam turns the sign of a gradient that is nothing but rounding into a whole step, unless eps is above it.
    "adam_epsilon": 1e-3,
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A reference model: of the same vocabulary, otherwise initialised."""
    return build_model(tmp_path_factory.mktemp("reference"), seed=1)


def _split(batch, accumulation):
    return {**COMMON, "per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}


def _log(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [(row["loss"], row["grad_norm"]) for row in history if "loss" in row]


def _watched(monkeypatch, weighter):
    """Each answer of a weighter, as (step, ids, mean losses, weights of samples) in the order of asking."""
    seen = []
    weigh = weighter.weigh

    def watching(self, request, losses):
        answer = weigh(self, request, losses)
        each = answer if answer.ndim == 1 else (answer * losses.mask).sum(dim=1)
        seen.append((request.progress.step, request.ids.tolist(), losses.per_sample, each))
        return answer

    monkeypatch.setattr(weighter, "weigh", watching)
    return seen


@pytest.mark.parametrize("planned", [False, True], ids=["stock order", "planned"])
@pytest.mark.parametrize("name", ["loss", "my-rho-1"])
def test_how_the_window_is_split_does_not_show(model, reference, data, tmp_path, monkeypatch, name, planned):
    found = []
    settings = (f"weighter.reference_model={reference}",) if name == "my-rho-1" else ()
    strategies = {"weighter": name} | ({"selector": "random"} if planned else {})
    for batch, accumulation in SPLITS:
        with monkeypatch.context() as patch:
            seen = _watched(patch, module("rho_1").Rho1 if name == "my-rho-1" else LossWeighter)
            args = base_args(model, data, tmp_path / f"{batch}x{accumulation}", **_split(batch, accumulation))
            output = train(args, catalog=catalog(), settings=settings, **strategies)
        found.append((seen, weights(output)))
    (whole, expected), *others = found
    assert [(step, len(ids)) for step, ids, *_ in whole] == [(step, 8) for step in (2, 3, 4, 5)], "asked once a step"
    for seen, trained in others:
        for one, other in zip(whole, seen, strict=True):
            assert one[:2] == other[:2], "the same samples in the same order"
            torch.testing.assert_close(other[2:], one[2:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(trained, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("planned", [False, True], ids=["stock order", "planned"])
def test_the_losses_that_are_weighed_are_those_that_are_trained_on(model, data, tmp_path, monkeypatch, planned):
    """Dropout included: the pass that comes first draws what the step itself draws."""
    learnt = {}
    monkeypatch.setattr(LossWeighter, "observe", lambda self, step: learnt.update({step.progress.step - 1: step}))
    seen = _watched(monkeypatch, LossWeighter)
    strategies = {"weighter": "loss"} | ({"selector": "random"} if planned else {})
    for name, dropout in (("with", 0.5), ("without", 0.0)):
        args = base_args(model, data, tmp_path / name, lora_dropout=dropout, **{**_split(2, 4), "learning_rate": 1e-2})
        train(args, **strategies)
        if dropout:
            for step, ids, losses, _ in seen:
                assert ids == learnt[step].ids.tolist()
                torch.testing.assert_close(losses, torch.from_numpy(learnt[step].losses), rtol=1e-6, atol=0)
    half = len(seen) // 2
    assert any(not torch.allclose(seen[k][2], seen[k + half][2], rtol=1e-4) for k in range(half)), "dropout shows"


@pytest.mark.parametrize(("batch", "accumulation"), SPLITS)
def test_weights_of_one_are_llamafactorys_loss_and_gradients(model, data, tmp_path, monkeypatch, batch, accumulation):
    """Of a weighter that compares, so that a pass comes first, with dropout, whose draws it leaves alone."""
    monkeypatch.setattr(LossWeighter, "weigh", lambda self, request, losses: losses.values.new_ones(len(request.ids)))
    changes = {**_split(batch, accumulation), "lora_dropout": 0.2}
    plain = train_plain(base_args(model, data, tmp_path / "plain", **changes))
    ours = train(base_args(model, data, tmp_path / "ours", **changes), weighter="loss")
    for one, other in zip(_log(plain), _log(ours), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-4, atol=1e-6)


PASSES = [
    pytest.param({}, 4, 0, id="nothing"),
    pytest.param({"weighter": "uniform"}, 4, 0, id="uniform compares nothing"),
    pytest.param({"weighter": "loss"}, 1, 0, id="a window of one micro-batch"),
    pytest.param({"weighter": "loss"}, 4, 4 * 4, id="a window of four"),
    pytest.param({"weighter": "loss", "selector": "random"}, 4, 4 * 4, id="a window of four, planned"),
]


@pytest.mark.parametrize(("strategies", "accumulation", "more"), PASSES)
def test_a_pass_of_its_own_is_made_only_where_windows_are_compared(
    model, data, tmp_path, monkeypatch, strategies, accumulation, more
):
    calls, forward = [], LlamaForCausalLM.forward

    @functools.wraps(forward)
    def counted(self, *args, **kwargs):
        calls.append(torch.is_grad_enabled())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    train(base_args(model, data, tmp_path / "out", **_split(2, accumulation)), **strategies)
    assert (calls.count(True), calls.count(False)) == (6 * accumulation, more)
