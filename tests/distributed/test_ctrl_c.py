"""Ctrl-C, which a terminal sends to the launcher and to its ranks alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import base_args

pytestmark = pytest.mark.numeric


@pytest.mark.slow
def test_ctrl_c_ends_all_ranks_in_one_line(model, data, tmp_path):
    out = tmp_path / "out"
    args = base_args(
        model, data, out, per_device_train_batch_size=2, max_steps=4000, save_strategy="steps", save_steps=2
    )
    (tmp_path / "config.json").write_text(json.dumps(args))
    command = [sys.executable, "-m", "dataflex_cli", "run", str(tmp_path / "config.json"), "--selector", "random"]
    started = subprocess.Popen(
        [*command, "--nproc", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 300
        while not (out / "checkpoint-2" / "dataflex" / "seal.json").exists():
            assert started.poll() is None, started.communicate()[0][-3000:]
            assert time.monotonic() < end
            time.sleep(0.2)
        os.killpg(started.pid, signal.SIGINT)
        said, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 130, said[-3000:]
    assert "Error: stopped by SIGINT, without a checkpoint of this step" in said
    assert "Traceback" not in said
