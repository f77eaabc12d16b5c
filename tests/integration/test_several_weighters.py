"""Several weighters in one run: their weights multiply, and the run goes on as it would have."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from support import base_args, train, weights

pytestmark = pytest.mark.numeric

COMMON = {"max_steps": 6, "save_steps": 2, "save_strategy": "steps", "logging_steps": 1, "lora_dropout": 0.1}
TWO = ["loss", {"name": "loss", "strategy": "quadratic"}]


def _run(model, data, output, weighters, **changes):
    args = base_args(model, data, output, **COMMON, **changes)
    train({**args, "dataflex": {"weighter": weighters}})
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry], weights(output)


def _same(one, other):
    return one[0] == other[0] and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


def test_two_weighters_multiply_and_go_on_from_a_checkpoint(model, data, tmp_path):
    whole = _run(model, data, tmp_path / "whole", TWO)
    assert not _same(whole, _run(model, data, tmp_path / "first", TWO[:1])), "the second counts"
    assert not _same(whole, _run(model, data, tmp_path / "second", TWO[1:])), "the first counts"
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    checkpoint = str(tmp_path / "again" / "checkpoint-4")
    assert _same(whole, _run(model, data, tmp_path / "again", TWO, resume_from_checkpoint=checkpoint))
    journal = (tmp_path / "again" / "dataflex").glob("*.jsonl")
    (start,) = (json.loads(line) for file in journal for line in file.open() if '"start"' in line)
    assert [(s["kind"], s["position"], s["params"]["strategy"]) for s in start["strategies"]] == [
        ("weighter", 0, "linupper"),
        ("weighter", 1, "quadratic"),
    ]
