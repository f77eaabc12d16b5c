"""Ray workers: two of a local cluster decide as one process does, answer SIGTERM, and do not outlive one another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import base_args, journalled, of_kind, train, weights

from dataflex_core.errors import UnmetNeed
from dataflex_core.llamafactory import checks

pytestmark = pytest.mark.numeric

STRATEGIES = [{"selector": "less"}, {"selector": "loss", "mixer": "random", "weighter": "loss"}]
# Not a cluster that happens to run on this machine.
LOCAL = {"address": "local", "num_cpus": 2, "include_dashboard": False}


@pytest.fixture(autouse=True)
def _a_busy_machine(monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")


def _command(args, tmp_path, *words):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(args))
    return [sys.executable, "-m", "dataflex_cli", "run", str(config), *words]


def _args(model, data, output, **changes):
    common = {
        "max_steps": 6,
        "eval_dataset": "held,numbers_held",
        "lr_scheduler_type": "constant",
        "learning_rate": 1e-3,
        "dataflex": {"warmup_steps": 0, "update_steps": 3},
    }
    return base_args(model, data, output, **{**common, **changes})


def _on_ray(model, data, output, **changes):
    ray = {"use_ray": True, "ray_num_workers": 2, "ray_init_kwargs": LOCAL, "per_device_train_batch_size": 2}
    return _args(model, data, output, **{**ray, **changes})


def test_without_ray_the_run_says_what_to_install(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "ray" else find_spec(name))
    with pytest.raises(UnmetNeed, match="use_ray is set, and Ray is not installed"):
        train(_on_ray(model, data, tmp_path / "out"), selector="random")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategies", [{"selector": "less"}, {"selector": "loss", "mixer": "random", "weighter": "loss"}]
)
def test_two_workers_decide_as_one_process(model, data, tmp_path, strategies):
    pytest.importorskip("ray", reason="the session `distributed` installs it")
    one: list[dict] = []
    train(_args(model, data, tmp_path / "1"), events=one, **strategies)
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    command = _command(_on_ray(model, data, tmp_path / "2"), tmp_path, *flags)
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    two = journalled(tmp_path / "2")
    assert of_kind(two, "start")[0]["ranks"] == 2
    assert of_kind(one, "decision")[0]["plan"] == of_kind(two, "decision")[0]["plan"]
    first, second = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-4


@pytest.mark.slow
def test_more_workers_than_the_cluster_has_are_refused(model, data, tmp_path):
    pytest.importorskip("ray", reason="the session `distributed` installs it")
    args = _on_ray(model, data, tmp_path / "out", ray_num_workers=3)
    command = _command(args, tmp_path, "--selector", "random")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "Error: ray_num_workers is 3, and the Ray cluster has 2 CPUs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on(model, data, tmp_path, number):
    """SIGTERM to the launcher ends it with a checkpoint; SIGKILL of a rank ends the other with a message."""
    pytest.importorskip("ray", reason="the session `distributed` installs it")
    mark = uuid.uuid4().hex
    args = _on_ray(model, data, tmp_path / "out", max_steps=4000, save_strategy="steps", save_steps=2)
    started = subprocess.Popen(
        _command(args, tmp_path, "--selector", "random"),
        env={**os.environ, "DATAFLEX_TEST": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for(tmp_path / "out" / "checkpoint-2" / "dataflex" / "seal.json", started)
        if number == signal.SIGTERM:
            started.send_signal(number)
        else:
            os.kill(_rank_one(mark), number)
        said, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    if number == signal.SIGTERM:
        assert started.returncode == 143, said[-3000:]
    else:
        assert started.returncode == 1, said[-3000:]
        assert "Error: rank 1 was killed by SIGKILL" in said
    steps = max(e["step"] for e in of_kind(journalled(tmp_path / "out"), "step"))
    more = {**args, "max_steps": steps + 4}
    command = _command(more, tmp_path, "--selector", "random", "--resume", "--allow-changed", "schedule")
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    journal = journalled(tmp_path / "out")
    assert len(of_kind(journal, "resume")) == 1
    assert [e["step"] for e in of_kind(journal, "step")] == list(range(1, steps + 5))


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.stdout.read()[-3000:]
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.2)


def _rank_one(mark: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        wanted = {b"RANK=1", f"DATAFLEX_TEST={mark}".encode()}
        if wanted <= set(words) and b"dataflex_cli.worker" in command:
            return int(process.name)
    raise AssertionError("rank 1 is not there")
