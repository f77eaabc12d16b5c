"""Everything at once: a mixer, a selector and two weighters, of packed samples, killed amid a step and gone on."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from support import base_args, build_data, build_model, journalled, of_kind, train, weights

from dataflex_cli.main import cli
from dataflex_core.trainer.losses import LossTrainer

pytestmark = [pytest.mark.numeric, pytest.mark.slow]


class Killed(BaseException):
    """What no code of a run expects."""


def _told(events):
    apart = {"seconds", "signal_seconds", "past", "cost", "break_even"}
    kept = [event for event in events if event["event"] in ("decision", "step", "end")]
    return [{key: value for key, value in event.items() if key not in apart} for event in kept]


def _losses(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [(row["step"], row["loss"], row["grad_norm"]) for row in history if "loss" in row]


def test_three_kinds_and_two_weighters_go_on_where_they_were_killed(model, tmp_path, monkeypatch):
    sizes = {"words": 60, "numbers": 40, "letters": 50, "held": 6, "numbers_held": 5}
    reference = build_model(tmp_path / "reference", seed=1)
    args = base_args(
        model,
        build_data(tmp_path / "data", sizes=sizes),
        tmp_path / "run",
        dataset="words,numbers,letters",
        eval_dataset="held,numbers_held",
        packing=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=8,
        save_steps=2,
        save_strategy="steps",
        logging_steps=1,
        lora_dropout=0.1,
        dataflex={
            "warmup_steps": 2,
            "update_steps": 3,
            "mixer": {"name": "static", "proportions": [1, 2, 1]},
            "selector": "less",
            "weighter": ["loss", {"name": "rho-1", "reference_model": str(reference)}],
        },
    )
    training_step = LossTrainer.training_step

    def killed(self, *given, **options):
        if self.state.global_step == 5 and self._micro == 0:
            raise Killed("before the second micro-batch of a step")
        return training_step(self, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LossTrainer, "training_step", killed)
        with pytest.raises(Killed):
            train(args)
    output = tmp_path / "run"
    assert not (output / "checkpoint-6").exists()
    train({**args, "resume_from_checkpoint": str(output / "checkpoint-4")})
    whole = train({**args, "output_dir": str(tmp_path / "whole")})
    assert _told(journalled(output)) == _told(journalled(whole))
    assert len(of_kind(journalled(output), "resume")) == 1
    assert _losses(output) == _losses(whole)
    trained, expected = weights(output), weights(whole)
    assert trained.keys() == expected.keys()
    assert all(torch.equal(trained[name], expected[name]) for name in expected)
    shutil.rmtree(tmp_path / "reference")  # a report asks no model
    page = tmp_path / "report.html"
    told = CliRunner().invoke(cli, ["report", str(output), "--output", str(page)])
    assert told.exit_code == 0, told.output
    shown = page.read_text(encoding="utf-8")
    assert all(name in shown for name in ("static", "less", "rho-1", "letters"))
