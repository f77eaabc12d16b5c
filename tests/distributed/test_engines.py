"""DDP and DeepSpeed ZeRO-2 and ZeRO-3 on two CPU processes: they decide alike, and go on from a checkpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import base_args, journalled, of_kind, weights
from zero import ZERO, ZERO2, ZERO3, on_two_ranks

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

ENGINES = {
    "ddp": {"use_cpu": True},
    "zero2": {"use_cpu": None, "deepspeed": {**ZERO, **ZERO2}},
    "zero3": {"use_cpu": None, "deepspeed": {**ZERO, **ZERO3}},
}
STRATEGIES = {
    "random": {"selector": "random"},
    "less": {"selector": "less"},
    "loss and all": {"selector": "loss", "mixer": "random", "weighter": "loss"},
}


def _run(args, strategies, extensions, *words: str) -> list[dict]:
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    return on_two_ranks(args, extensions, *flags, *words)


def _plans(events):
    return [(e["decision"], e["plan"]) for e in of_kind(events, "decision")]


def _gap(one: Path, two: Path) -> float:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.fixture(scope="module", params=STRATEGIES)
def runs(request, model, data, extensions, tmp_path_factory):
    """A whole run on each engine: its events and its folder."""
    folder = tmp_path_factory.mktemp("engines")
    made = {}
    for engine, changes in ENGINES.items():
        args = base_args(
            model,
            data,
            folder / engine,
            eval_dataset="held,numbers_held",
            per_device_train_batch_size=2,
            max_steps=6,
            save_steps=2,
            save_strategy="steps",
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            dataflex={"warmup_steps": 2, "update_steps": 2},
            **changes,
        )
        made[engine] = args, _run(args, STRATEGIES[request.param], extensions)
    return made, STRATEGIES[request.param], folder


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "ddp"])
def test_an_engine_decides_as_plain_data_parallelism_does(runs, engine):
    made, _, folder = runs
    assert _plans(made[engine][1])[:2] == _plans(made["ddp"][1])[:2], "the warm-up, and the first decision"
    assert _gap(folder / engine, folder / "ddp") < 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_goes_on_from_a_checkpoint(runs, engine, extensions):
    made, strategies, folder = runs
    args, events = made[engine]
    again = folder / f"{engine}-again"
    shutil.copytree(folder / engine, again)
    shutil.rmtree(again / "checkpoint-6")
    resumed = _run({**args, "output_dir": str(again)}, strategies, extensions, "--resume")
    assert [e["step"] for e in of_kind(resumed, "resume")] == [4]
    assert _plans(resumed) == _plans(events)
    assert [e["samples"] for e in of_kind(resumed, "step")] == [e["samples"] for e in of_kind(events, "step")]
    assert _gap(again, folder / engine) < 1e-6


def test_one_process_goes_on_where_two_were(runs, extensions):
    made, strategies, folder = runs
    args, events = made["ddp"]
    alone = folder / "alone"
    shutil.copytree(folder / "ddp", alone)
    shutil.rmtree(alone / "checkpoint-6")
    config = folder / "alone.json"
    config.write_text(json.dumps({**args, "output_dir": str(alone), "per_device_train_batch_size": 4}))
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), *flags, "--resume", "--nproc", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    journal = journalled(alone)
    assert _plans(journal) == _plans(events)
    assert _gap(alone, folder / "ddp") < 1e-4
