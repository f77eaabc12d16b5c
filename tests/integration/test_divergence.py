"""A model that has diverged is told as that, with the step and exit code 1, whoever meets it first."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from signal_support import SIZE, set_up, signals_of
from support import base_args, build_model, journalled, of_kind, train

from dataflex_core.errors import DataError, RunFailed
from dataflex_core.trainer.ledger import Entry
from dataflex_core.trainer.weight import WeightTrainer

pytestmark = pytest.mark.numeric

HOW = {
    "a selector of losses": {"selector": "loss"},
    "a selector of gradients": {"selector": "less"},
    "a mixer, in training": {"mixer": "random"},
    "a weighter": {"weighter": "loss"},
}


@pytest.mark.parametrize("strategies", HOW.values(), ids=HOW)
def test_a_run_that_diverges_says_so(model, data, tmp_path, strategies):
    changes = {"learning_rate": 1e30, "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "eval_dataset": "held"}
    output = tmp_path / "out"
    with pytest.raises(RunFailed, match=r"training has diverged at step [1-3]: ") as caught:
        train(base_args(model, data, output, **changes), **strategies)
    assert caught.value.exit_code == 1
    assert "lower the learning_rate" in str(caught.value.hint)
    last = journalled(output)[-1]
    assert (last["event"], last["error"], last["exit_code"]) == ("failed", caught.value.message, 1)
    assert len(of_kind(journalled(output), "failed")) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("signals"), seed=3)


ASKED = {
    "losses": lambda s: s.losses(np.arange(SIZE)),
    "token losses": lambda s: s.token_losses(np.arange(SIZE)),
    "influence": lambda s: s.influence(np.arange(SIZE)),
    "gradients": lambda s: s.gradients(np.arange(SIZE), dim=64),
    "gradients without a target set": lambda s: s.gradients(np.arange(SIZE), dim=64, keep_targets=False),
    "alignments": lambda s: s.alignments(np.arange(SIZE)),
    "own directions": lambda s: s.influences(np.arange(SIZE), directions=[s.direction(np.arange(3), np.ones(3))]),
    "products": lambda s: s.products(np.arange(5), np.arange(9)),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_a_signal_of_a_diverged_model(folder, ask, value):
    model, optimizer, pool, targets = set_up(folder, "full")
    signals = signals_of(model, optimizer, pool, targets)
    signals.new_decision(7)
    with torch.no_grad():
        model.lm_head.weight.fill_(value)
    with pytest.raises(RunFailed, match=r"diverged at step 7: no loss of (the pool|t0) is a finite number"):
        ask(signals)


def test_samples_without_target_tokens_are_no_divergence(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    bare = [{**row, "labels": [-100] * len(row["labels"])} for row in pool]
    assert np.isnan(signals_of(model, optimizer, bare, targets).losses(np.arange(SIZE))).all()
    assert np.isnan(signals_of(model, optimizer, bare, targets).influence(np.arange(SIZE))).all()
    with pytest.raises(DataError, match="no sample of target set t0 has a gradient"):
        signals_of(model, optimizer, pool, [bare[:3]]).influence(np.arange(SIZE))


def test_texts_have_target_tokens_without_labels(folder):
    """As LLaMA-Factory leaves the samples of stage pt."""
    model, optimizer, pool, targets = set_up(folder, "full")
    bare = [{key: value for key, value in row.items() if key != "labels"} for row in pool]
    signals = signals_of(model, optimizer, bare, targets)
    with pytest.raises(RunFailed, match="no loss of the pool is a finite number"):
        signals._check_losses(np.arange(SIZE), np.full(SIZE, np.nan, dtype="f4"))


def test_under_fp16_a_loss_that_is_no_number_is_no_weighters_fault():
    """The step is dropped, whatever weights were made of it."""
    entry = Entry(kind="wrong", step=3, values=np.array([1, 1, 1, 1]), everyones=np.zeros((1, 4)), about=(8, ("w",)))
    trainer = SimpleNamespace(args=SimpleNamespace(fp16=True))
    assert WeightTrainer._wrong(trainer, entry) is None
    trainer.args.fp16 = False
    assert "the losses of 1 of 8 samples" in str(WeightTrainer._wrong(trainer, entry))


def test_one_loss_that_is_no_number_ends_nothing(folder):
    model, optimizer, pool, targets = set_up(folder, "full")
    with torch.no_grad():
        model.model.embed_tokens.weight[pool[0]["input_ids"][0]] = float("nan")
    found = signals_of(model, optimizer, pool, targets).losses(np.arange(SIZE))
    assert np.isnan(found[0])
    assert np.isfinite(found).any()
