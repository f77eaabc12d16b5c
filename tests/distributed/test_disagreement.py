"""Ranks that decide differently are stopped, with the strategy, the step and the ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support import base_args

from dataflex_core.collectives import Ranks

pytestmark = pytest.mark.numeric

TESTS = Path(__file__).parents[1]
SAID = {
    "selector": "selector own-selector (disagreeing 1), step 2: rank 1 decided otherwise than rank 0",
    "mixer": "mixer own-mixer (disagreeing 1), step 2: rank 1 decided otherwise than rank 0",
    "weighter": "weighter own-weighter (disagreeing 1), step 2: rank 1 decided otherwise than rank 0",
}


class _World(SimpleNamespace):
    """An accelerator of several processes, of which the others' digests are known."""

    def gather(self, mine):
        return torch.cat([mine, *self.others])


@pytest.mark.parametrize(("others", "odd"), [([7, 7], []), ([7, 8], [2]), ([8, 8], [1, 2])])
def test_odd_ranks_are_those_that_differ_from_the_first(others, odd):
    world = _World(
        process_index=0,
        num_processes=3,
        device=torch.device("cpu"),
        others=[torch.tensor([n]) for n in others],
    )
    assert Ranks(world).differing((7).to_bytes(8, "little") + b"more") == odd


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAID)
def test_a_strategy_with_a_generator_of_its_own_is_stopped(model, data, tmp_path, kind):
    info = tmp_path / "disagreeing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: disagreeing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dataflex]\ndisagreeing = disagreeing\n")
    section = {"warmup_steps": 2, "update_steps": 3, kind: f"own-{kind}"}
    args = base_args(model, data, tmp_path / "out", per_device_train_batch_size=2, max_steps=5, dataflex=section)
    (tmp_path / "config.json").write_text(json.dumps(args))
    done = subprocess.run(
        [sys.executable, "-m", "dataflex_cli", "run", str(tmp_path / "config.json"), "--nproc", "2"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"Error: {SAID[kind]}" in done.stderr
    assert "draw from request.rng only" in done.stderr
