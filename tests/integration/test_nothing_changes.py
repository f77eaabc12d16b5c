"""Nothing changes unless asked: no strategy is LLaMA-Factory to the bit, uniform weights are it to rounding."""

from __future__ import annotations

import pytest
import torch
from support import base_args, of_kind, train, train_plain, weights

pytestmark = pytest.mark.numeric


def test_without_a_strategy_the_weights_are_llamafactorys_to_the_bit(model, data, tmp_path):
    plain = weights(train_plain(base_args(model, data, tmp_path / "plain")))
    ours = weights(train(base_args(model, data, tmp_path / "ours")))
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) for name in plain)
    assert not (tmp_path / "ours" / "dataflex").exists()


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("finetuning", ["lora", "full"])
def test_uniform_weights_are_llamafactorys_to_rounding(model, data, tmp_path, accumulation, finetuning):
    # Three epochs of a pool that no batch divides: last batches and windows are short.
    changes = {
        "finetuning_type": finetuning,
        "gradient_accumulation_steps": accumulation,
        "per_device_train_batch_size": 6,
        "max_steps": None,
        "num_train_epochs": 2,
        "max_samples": 25,
        "lr_scheduler_type": "constant",
        "learning_rate": 1e-3,
    }
    plain = weights(train_plain(base_args(model, data, tmp_path / "plain", **changes)))
    events: list[dict] = []
    ours = weights(train(base_args(model, data, tmp_path / "ours", **changes), weighter="uniform", events=events))
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6, msg=name)
    trained = [i for event in of_kind(events, "step") for i in event["samples"]]
    assert sorted(trained) == sorted(list(range(50)) * 2)


def test_uniform_weights_leave_the_evaluation_loss_alone(model, data, tmp_path):
    import json

    changes = {"do_eval": True, "eval_dataset": "held", "per_device_eval_batch_size": 4}
    losses = {}
    for name, run in {"plain": train_plain, "ours": lambda args: train(args, weighter="uniform")}.items():
        output = run(base_args(model, data, tmp_path / name, **changes))
        losses[name] = json.loads((output / "eval_results.json").read_text())["eval_loss"]
    assert losses["ours"] == pytest.approx(losses["plain"], rel=1e-5)


def test_the_seams_are_put_back(model, data, tmp_path):
    from llamafactory.train.sft import workflow

    before = workflow.CustomSeq2SeqTrainer, workflow.get_dataset
    train(base_args(model, data, tmp_path / "a", max_steps=3), selector="random")
    assert (workflow.CustomSeq2SeqTrainer, workflow.get_dataset) == before
    with pytest.raises(Exception, match="pool has"):
        train(base_args(model, data, tmp_path / "b", max_steps=300, dataflex={"update_steps": 200}), selector="random")
    assert (workflow.CustomSeq2SeqTrainer, workflow.get_dataset) == before
