"""Runs with a reference model: it is asked once a sample, ahead of training, and by one run for all."""

from __future__ import annotations

import functools
import json
import shutil

import pytest
import torch
from cases import cases
from support import base_args, build_model, journalled, of_kind, train, weights
from third_party import catalog
from transformers import LlamaModel

pytestmark = pytest.mark.numeric

POOL = 100  # samples in both data sets
COMMON = {"max_steps": 11, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "logging_steps": 1}
RHO_1 = ("weighter.keep=0.5",)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("reference"), seed=1)


class Asked:
    """What frozen models are asked: the number of samples of each forward."""

    def __init__(self, monkeypatch):
        self.rows: list[int] = []
        forward = LlamaModel.forward

        @functools.wraps(forward)
        def counting(model, input_ids=None, **kwargs):
            if not any(p.requires_grad for p in model.parameters()):
                self.rows.append(len(input_ids))
            return forward(model, input_ids=input_ids, **kwargs)

        monkeypatch.setattr(LlamaModel, "forward", counting)

    def taken(self):
        """Those since the last time."""
        rows, self.rows = self.rows, []
        return rows


def run(model, data, output, reference, *strategies, section=None, **changes):
    args = base_args(model, data, output, **{**COMMON, **changes}, dataflex=section or {})
    named = {"weighter": "my-rho-1", "selector": "rho-loss"}
    settings = tuple(f"{kind}.reference_model={reference}" for kind in strategies if kind in named)
    chosen = {kind: named[kind] for kind in strategies if kind in named}
    chosen |= {"selector": "random"} if "random" in strategies else {}
    return train(args, catalog=catalog(), settings=settings, **chosen)


def trained_on(output):
    return {sample for event in of_kind(journalled(output), "step") for sample in event["samples"]}


def losses(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [row["loss"] for row in history if "loss" in row]


@pytest.mark.parametrize("strategies", [("weighter",), ("weighter", "random")], ids=["stock order", "planned"])
def test_a_weighters_reference_is_asked_ahead_once_a_sample_and_by_the_first_run_only(
    model, data, reference, tmp_path, monkeypatch, strategies
):
    asked, store = Asked(monkeypatch), {"store": str(tmp_path / "store")}
    first = run(model, data, tmp_path / "first", reference, *strategies, section=store)
    rows = asked.taken()
    assert sum(rows) == len(trained_on(first))
    if "random" in strategies:
        micro_batches = COMMON["max_steps"] * COMMON["gradient_accumulation_steps"]
        assert len(rows) < micro_batches, "whole batches, and not one a micro-batch"
    second = run(model, data, tmp_path / "second", reference, *strategies, section=store)
    assert asked.taken() == []
    assert losses(second) == losses(first)
    assert not (tmp_path / "first" / "dataflex" / "store").exists()


def test_a_selector_that_asks_at_every_decision_pays_once(model, data, reference, tmp_path, monkeypatch):
    asked = Asked(monkeypatch)
    output = run(model, data, tmp_path / "out", reference, "selector")
    decisions = of_kind(journalled(output), "decision")
    assert [event["judged"] for event in decisions] == [0, POOL, POOL, POOL]
    assert sum(asked.taken()) == POOL
    run(model, data, tmp_path / "out", reference, "selector")
    assert asked.taken() == [], "the folder's own store serves the next run in it"


def test_choosing_at_each_step_asks_the_reference_about_no_sample_twice(model, data, reference, tmp_path, monkeypatch):
    asked = Asked(monkeypatch)
    section = {"warmup_steps": 0, "update_steps": 1, "candidates": 10}
    output = run(model, data, tmp_path / "out", reference, "selector", section=section, max_steps=6)
    assert [event["judged"] for event in of_kind(journalled(output), "decision")] == [40] * 6, "two passes of the pool"
    assert sum(asked.taken()) == POOL


def test_what_may_not_lie_on_disk_does_not_and_is_asked_once_a_run(model, data, reference, tmp_path, monkeypatch):
    asked = Asked(monkeypatch)
    section = {"keep": {"scores": False}, "flush_seconds": 0}
    output = run(model, data, tmp_path / "out", reference, "selector", section=section)
    assert sum(asked.taken()) == POOL
    assert {path.name for path in (output / "dataflex").iterdir()} == {"journal.jsonl", "texts"}
    with_store = run(model, data, tmp_path / "kept", reference, "selector", section={"flush_seconds": 0})
    assert losses(output) == losses(with_store)


@pytest.mark.parametrize("step", cases([4, 6], slow=[6]))
@pytest.mark.parametrize("strategies", [("weighter",), ("weighter", "random"), ("weighter", "selector")])
def test_a_run_that_goes_on_with_its_store_is_the_run_that_was_not_stopped(
    model, data, reference, tmp_path, monkeypatch, strategies, step
):
    saving = {"save_strategy": "steps", "save_steps": 2, "lora_dropout": 0.1}
    whole = run(model, data, tmp_path / "whole", reference, *strategies, **saving)
    output = tmp_path / "again"
    shutil.copytree(whole, output)
    asked = Asked(monkeypatch)
    resume = {"resume_from_checkpoint": str(output / f"checkpoint-{step}")}
    run(model, data, output, reference, *strategies, **saving, **resume)
    assert asked.taken() == [], "the killed run had asked all that"
    assert losses(output) == losses(whole)
    expected, found = weights(whole), weights(output)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_store_that_cannot_be_written_any_more_costs_a_line(model, data, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("dataflex_core.prepare.barrier", lambda folder: None)  # it could be, a moment ago
    (tmp_path / "file").write_text("")
    output = run(model, data, tmp_path / "out", reference, "weighter", section={"store": str(tmp_path / "file")})
    notices = [event["text"] for event in of_kind(journalled(output), "notice")]
    assert [text.startswith(f"the store {tmp_path / 'file'} cannot be written") for text in notices] == [True]
