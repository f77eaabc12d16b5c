"""Two "nodes" of one process each, on loopback: as docs/interrupted-runs.md has two machines do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from support import base_args, journalled, of_kind, train, weights

pytestmark = [pytest.mark.slow, pytest.mark.numeric]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_nodes_decide_as_one_process(model, data, tmp_path):
    common = {
        "max_steps": 6,
        "eval_dataset": "held,numbers_held",
        "lr_scheduler_type": "constant",
        "learning_rate": 1e-3,
        "dataflex": {"warmup_steps": 0, "update_steps": 3},
    }
    strategies = {"selector": "less", "mixer": "random", "weighter": "loss"}
    one: list[dict] = []
    train(base_args(model, data, tmp_path / "1", **common), events=one, **strategies)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(base_args(model, data, tmp_path / "2", per_device_train_batch_size=2, **common)))
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    port = str(_free_port())
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "dataflex_cli", "run", str(config), *flags, "--nproc", "1"],
            env={**os.environ, "NNODES": "2", "NODE_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [node.communicate(timeout=580)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said[0][-3000:] + said[1][-3000:]
    assert ["done: 6 steps" in text for text in said] == [True, False], "the first node's rank alone tells"
    two = journalled(tmp_path / "2")
    assert of_kind(two, "start")[0]["ranks"] == 2
    assert of_kind(one, "decision")[0]["plan"] == of_kind(two, "decision")[0]["plan"]
    first, second = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-4
