"""ZeRO-3 shards the head: losses in pieces of a batch, `chunked_loss: true`, train as whole logits do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import base_args, build_model, of_kind, weights
from zero import ZERO, ZERO3, on_two_ranks

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

# Which weights of the head are frozen, and how often it is called, is not the same in these.
HEADS = {
    "a frozen head": {"gradient_accumulation_steps": 2},
    "an adapted head": {"lora_target": "q_proj,lm_head"},
    "a head that trains": {"finetuning_type": "full"},
    "a tied head": {"finetuning_type": "full"},
}


def _run(args: dict, extensions) -> tuple[list[dict], list[float]]:
    """The journal, and the losses and norms that were logged."""
    journal = on_two_ranks(args, extensions)
    history = json.loads((Path(args["output_dir"]) / "trainer_state.json").read_text())["log_history"]
    return journal, [row[key] for row in history for key in ("loss", "grad_norm", "eval_loss") if key in row]


@pytest.mark.parametrize("head", HEADS)
def test_pieces_train_as_whole_logits_do(model, data, extensions, tmp_path, head):
    folder = build_model(tmp_path / "tied", tie=True) if head == "a tied head" else model
    selector = "less" if head == "a frozen head" else "loss"  # of the others no gradient by sample is had here
    told = {}
    for name, chunked in {"pieces": True, "whole": False}.items():
        args = base_args(
            folder,
            data,
            tmp_path / name,
            use_cpu=None,
            deepspeed={**ZERO, **ZERO3},
            eval_dataset="held",
            eval_strategy="steps",
            eval_steps=2,
            per_device_train_batch_size=2,
            max_steps=3,
            logging_steps=1,
            learning_rate=1e-3,
            dataflex={"warmup_steps": 1, "update_steps": 2, "selector": selector, "weighter": "loss"},
            **HEADS[head],
        )
        args["dataflex"]["chunked_loss"] = chunked
        told[name] = _run(args, extensions)
    events, logged = told["pieces"]
    assert not of_kind(events, "fallback"), "the head is known"
    assert logged == pytest.approx(told["whole"][1], rel=1e-3)
    plans = [[decision["plan"] for decision in of_kind(run, "decision")] for run, _ in told.values()]
    assert plans[0] == plans[1]
    one, other = (weights(tmp_path / name) for name in told)
    assert max(float((one[name] - other[name]).abs().max()) for name in other) < 1e-4
