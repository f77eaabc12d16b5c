"""The world's size changes nothing: two gloo ranks choose, mix and weigh as one process does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import base_args, of_kind, train, weights

from dataflex_core.journal import read_journal

# No warm-up: the first decision is taken from the very same model state.
SECTION = {"warmup_steps": 0, "update_steps": 3}
CASES = [
    pytest.param({"selector": "loss", "mixer": "temperature", "weighter": "loss"}, id="all three"),
    pytest.param({"selector": "less"}, id="less"),
    pytest.param({"weighter": "loss"}, id="weighter alone", marks=pytest.mark.slow),
]


def _two_ranks(args, tmp_path, **strategies):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(args))
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), *flags, "--nproc", "2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.parametrize("strategies", CASES)
def test_two_ranks_decide_as_one(model, data, tmp_path, strategies):
    common = {
        "max_steps": 6,
        "eval_dataset": "held,numbers_held",
        "lr_scheduler_type": "constant",
        "learning_rate": 1e-3,
        "dataflex": SECTION,
    }
    one: list[dict] = []
    train(base_args(model, data, tmp_path / "1", **common), events=one, **strategies)
    args = base_args(model, data, tmp_path / "2", per_device_train_batch_size=2, **common)
    done = _two_ranks(args, tmp_path, **strategies)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("done: 6 steps, 24 samples") == 1, "rank 0 alone tells"
    two = list(read_journal(tmp_path / "2" / "dataflex" / "journal.jsonl"))
    assert of_kind(two, "start")[0]["ranks"] == 2
    assert [d["plan"] for d in of_kind(one, "decision")][:1] == [d["plan"] for d in of_kind(two, "decision")][:1]
    for alone, shared in zip(of_kind(one, "step")[:3], of_kind(two, "step")[:3], strict=True):
        assert sorted(alone["samples"]) == sorted(shared["samples"])
    first, second = weights(tmp_path / "1"), weights(tmp_path / "2")
    gap = max(float((first[name] - second[name]).abs().max()) for name in first)
    assert gap < 1e-4, "same samples, same weights: the same model to rounding"


def test_a_fault_in_the_ranks_is_one_line(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", dataset="words", dataflex={"update_steps": 100, "updates": 1})
    done = _two_ranks(args, tmp_path, selector="random")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error: an interval trains on 800 samples" in done.stderr
    assert not (tmp_path / "out").exists()
