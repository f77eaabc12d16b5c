"""Everything at once: a mixer, a selector and weighters, on three domains, killed amid a step and gone on."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from click.testing import CliRunner
from killed import gone_on_with
from support import base_args, build_data, build_model, journalled, of_kind, train, weights

from dataflex_cli.main import cli

pytestmark = [pytest.mark.numeric, pytest.mark.slow]


def _told(events):
    apart = {"seconds", "signal_seconds", "past", "cost", "break_even"}
    kept = [event for event in events if event["event"] in ("decision", "step", "end")]
    return [{key: value for key, value in event.items() if key not in apart} for event in kept]


def _losses(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [(row["step"], row["loss"], row["grad_norm"]) for row in history if "loss" in row]


STATIC = {"name": "static", "proportions": [1, 2, 1]}
RHO_1 = {"name": "rho-1", "reference_model": "REFERENCE"}
RUNS = {
    "two weighters, packed": ({"mixer": STATIC, "selector": "less", "weighter": ["loss", RHO_1]}, {"packing": True}),
    "two subtasks": ({"mixer": STATIC, "selector": "icons", "weighter": "loss"}, {}),
    "a bandit": ({"mixer": "odm", "selector": "less", "weighter": RHO_1}, {}),
}


@pytest.mark.parametrize(("strategies", "changes"), RUNS.values(), ids=RUNS)
def test_three_kinds_go_on_where_they_were_killed(model, tmp_path, monkeypatch, strategies, changes):
    sizes = {"words": 60, "numbers": 40, "letters": 50, "held": 6, "numbers_held": 5}
    reference = build_model(tmp_path / "reference", seed=1)
    strategies = json.loads(json.dumps(strategies).replace("REFERENCE", str(reference)))
    args = base_args(
        model,
        build_data(tmp_path / "data", sizes=sizes),
        tmp_path / "run",
        dataset="words,numbers,letters",
        eval_dataset="held,numbers_held",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=8,
        save_steps=2,
        save_strategy="steps",
        logging_steps=1,
        lora_dropout=0.1,
        **changes,
        dataflex={"warmup_steps": 2, "update_steps": 3, **strategies},
    )
    output = gone_on_with(args, killed_after=5, checkpoint=4, monkeypatch=monkeypatch)
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
    assert all(name in shown for name in re.findall(r'"name": "([a-z0-9-]+)"', json.dumps(strategies)))
    assert "letters" in shown
