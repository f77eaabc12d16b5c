"""Every signal in a real run, of a plugin found by its entry point: on one process, the same on two, and sharded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from every_signal import COLUMNS
from scipy.stats import spearmanr
from support import base_args, build_model, journalled
from zero import ZERO, ZERO3

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

TESTS = Path(__file__).parents[1]
WORLDS = {"one": (1, {}), "two": (2, {}), "zero3": (2, {"use_cpu": None, "deepspeed": {**ZERO, **ZERO3}})}


@pytest.fixture(scope="module")
def tables(model, data, tmp_path_factory):
    """What the selector was told at its second decision."""
    folder = tmp_path_factory.mktemp("every")
    info = folder / "every_signal-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: every-signal\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dataflex]\nevery = every_signal\n")
    encoder = build_model(folder / "encoder", seed=8)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(TESTS), os.environ.get("PYTHONPATH", "")])}
    found = {}
    for world, (ranks, changes) in WORLDS.items():
        params = {"name": "every-signal", "folder": str(folder / f"told-{world}"), "encoder": str(encoder)}
        args = base_args(
            model,
            data,
            folder / f"run-{world}",
            eval_dataset="held,numbers_held",
            per_device_train_batch_size=4 // ranks,
            max_steps=6,
            learning_rate=1e-3,
            dataflex={"warmup_steps": 3, "update_steps": 3, "flush_seconds": 0, "selector": params},
            **changes,
        )
        config = folder / f"{world}.json"
        config.write_text(json.dumps(args))
        command = [sys.executable, "-m", "dataflex_cli", "run", str(config), "--nproc", str(ranks)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        found[world] = np.load(folder / f"told-{world}" / "3.npy")
        assert not (folder / f"run-{world}" / "dataflex" / "partial").exists(), "it has served"
        events = journalled(folder / f"run-{world}")
        assert [e["judged"] for e in events if e["event"] == "decision"] == [0, 100]
    return found


@pytest.mark.parametrize("world", [name for name in WORLDS if name != "one"])
@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=COLUMNS)
def test_a_signal_is_the_same_on_two_ranks(tables, column, world):
    one, two = tables["one"][:, column], tables[world][:, column]
    assert np.isfinite(one).all()
    np.testing.assert_allclose(two, one, rtol=0.02, atol=2e-4)


def test_signals_agree_with_each_other(tables):
    told = dict(zip(COLUMNS, tables["one"].T, strict=True))
    assert np.abs(told["excess"]).max() > 1e-4, "the adapter has learnt since the base model"
    assert np.abs(told["excess"]).max() < 1
    # The bank's column is of the first subtask alone, influence the larger of two.
    assert spearmanr(told["bank"], told["influence"]).statistic > 0.3
    assert set(told["length"]) <= {1, 2, 3, 4, 5, 6}
    assert len(set(told["own"])) == 1
    assert spearmanr(told["alignment"], told["influence"]).statistic > 0.3
    assert told["product"][0] == pytest.approx(1.0)
    assert (told["ragged"] != 0).all()
    assert len(set(told["tokens"])) > 1
    assert (told["text"] > 0).all()
