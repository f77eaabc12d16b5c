"""Two ranks judge the pool as one does, with several checkpoints one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support import base_args

from dataflex_core.score_file import open_scores

pytestmark = [pytest.mark.numeric, pytest.mark.slow]


def called(*words):
    command = [sys.executable, "-m", "dataflex_cli", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_two_ranks_give_the_scores_of_one(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", max_steps=2, save_strategy="steps", save_steps=1, logging_steps=1)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**args, "eval_dataset": "held,numbers_held"}))
    called("run", config, "--selector", "loss", "dataflex.warmup_steps=1", "--nproc", 2)
    checkpoints = [word for step in (1, 2) for word in ("--checkpoint", tmp_path / "out" / f"checkpoint-{step}")]
    found = []
    for ranks in (1, 2):
        out = tmp_path / f"{ranks}.parquet"
        said = called("score", config, "--selector", "less", *checkpoints, "--nproc", ranks, "-o", out)
        assert said.count(f"DataFlex: written: {out}") == 1
        assert not out.with_name(f"{out.name}.partial").exists()
        found.append(open_scores(out).read(["score", "score_held", "score_numbers_held", "row", "digest"]))
    for name in ("score", "score_held", "score_numbers_held"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-5)
    for name in ("row", "digest"):
        assert found[0][name].tolist() == found[1][name].tolist()
