"""What trains nothing asks LLaMA-Factory about a DeepSpeed configuration as one of the ranks to come would ask it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import base_args
from zero import ZERO, ZERO2, ZERO3

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("zero", [ZERO2, ZERO3], ids=["zero2", "zero3"])
def test_a_deepspeed_configuration_is_no_fault_in_a_dry_run(zero, model, data, tmp_path):
    config = tmp_path / "run.json"
    changes = {"use_cpu": None, "deepspeed": {**ZERO, **zero}, "dataflex": {"warmup_steps": 2}}
    config.write_text(json.dumps(base_args(model, data, tmp_path / "out", **changes)))
    words = ["run", str(config), "--selector", "loss", "--nproc", "2", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "dataflex_cli", *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not (tmp_path / "out").exists()
